#include "daemon/admin_keys.h"

#include "base/json.h"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <optional>
#include <utility>
#include <variant>

namespace rekindle::daemon {
namespace {

constexpr uint64_t kBodyBytesMax = 4096;  // A description of a key has some hundred bytes.

json::value or_null(const std::optional<int64_t>& value) {
    return value ? json::value(*value) : json::value(nullptr);
}

std::string_view state_of(const KeyFacts& facts, int64_t now_unix_s) {
    if (facts.revoked_unix_s) {
        return "revoked";
    }
    return facts.active_at(now_unix_s) ? "active" : "expired";
}

json::object wire_form(const KeyFacts& facts, int64_t now_unix_s) {
    json::object out;
    out["id"] = facts.id;
    out["role"] = role_name(facts.role);
    out["organization"] = facts.organization;
    out["project"] = facts.project;
    out["name"] = facts.name;
    out["state"] = state_of(facts, now_unix_s);
    out["created"] = facts.created_unix_s;
    out["expires"] = or_null(facts.expires_unix_s);
    out["revoked"] = or_null(facts.revoked_unix_s);
    out["last_used"] = or_null(facts.last_used_unix_s);
    return out;
}

// Takes one member; an error names it.
std::optional<ApiError> read_member(const json::object& object, const std::string& name,
                                    KeySpec& spec) {
    if (name == "expires_in") {
        const auto seconds = get_integer(object, name);
        if (!seconds) {
            return invalid_value(name, seconds.error().message);
        }
        if (*seconds) {
            spec.lifetime = std::chrono::seconds(**seconds);
        }
        return std::nullopt;
    }
    const auto text = get_string(object, name);
    if (!text) {
        return invalid_value(name, text.error().message);
    }
    if (!*text) {
        return std::nullopt;
    }
    if (name == "project") {
        spec.project = **text;
    } else if (name == "organization") {
        spec.organization = **text;
    } else if (name == "name") {
        spec.name = **text;
    } else if (name == "role") {
        const auto role = parse_role(**text);
        if (!role) {
            return invalid_value(name, "role: must be user, metrics or admin");
        }
        spec.role = *role;
    } else {
        return unknown_parameter(name);
    }
    return std::nullopt;
}

std::variant<KeySpec, ApiError> read_spec(std::string_view body) {
    const auto parsed = parse_json(body, JsonLimits{.bytes_max = kBodyBytesMax});
    if (!parsed) {
        return api_error(parsed.error());
    }
    const json::object* object = parsed->if_object();
    if (object == nullptr) {
        return invalid_value("", "the body must be a JSON object");
    }
    KeySpec spec;
    for (const auto& member : *object) {
        if (auto refused = read_member(*object, std::string(member.key()), spec)) {
            return std::move(*refused);
        }
    }
    if (spec.project.empty()) {
        return missing_parameter("project");
    }
    return spec;
}

}  // namespace

void AdminKeys::add_routes(std::vector<Route>& routes) {
    routes.push_back(Route{.method = "POST",
                           .pattern = "/admin/v1/keys",
                           .access = Access::kAdmin,
                           .handle = [this](HttpExchange& exchange, const std::string& /*rest*/) {
                               return create(exchange);
                           }});
    routes.push_back(Route{.method = "GET",
                           .pattern = "/admin/v1/keys",
                           .access = Access::kAdmin,
                           .handle = [this](HttpExchange& exchange, const std::string& /*rest*/) {
                               return list(exchange);
                           }});
    routes.push_back(Route{.method = "DELETE",
                           .pattern = "/admin/v1/keys/*",
                           .access = Access::kAdmin,
                           .handle = [this](HttpExchange& exchange, std::string rest) {
                               return revoke(exchange, std::move(rest));
                           }});
}

Task<> AdminKeys::create(HttpExchange& exchange) {
    std::string body;
    auto fault = co_await exchange.read_body(&body);
    if (fault) {
        co_await exchange.reply_error(std::move(*fault));
        co_return;
    }
    auto spec = read_spec(body);
    if (auto* refused = std::get_if<ApiError>(&spec)) {
        co_await exchange.reply_error(std::move(*refused));
        co_return;
    }
    auto made = keys_.create(std::get<KeySpec>(spec));
    if (!made) {
        ApiError error = api_error(made.error());
        co_await exchange.reply_error(std::move(error));
        co_return;
    }
    json::object out = wire_form(made->facts, keys_.now_unix_s());
    out["key"] = std::move(made->text);
    HttpReply reply;
    reply.fields.push_back({"Cache-Control", "no-store"});
    reply.body = json::serialize(out);
    co_await exchange.reply(std::move(reply));
}

Task<> AdminKeys::list(HttpExchange& exchange) {
    json::array list;
    for (const KeyFacts& facts : keys_.list()) {
        list.push_back(wire_form(facts, keys_.now_unix_s()));
    }
    json::object out;
    out["keys"] = std::move(list);
    HttpReply reply;
    reply.body = json::serialize(out);
    co_await exchange.reply(std::move(reply));
}

Task<> AdminKeys::revoke(HttpExchange& exchange, std::string id) {
    const auto revoked = keys_.revoke(id);
    if (!revoked) {
        ApiError error = api_error(revoked.error());
        co_await exchange.reply_error(std::move(error));
        co_return;
    }
    HttpReply reply;
    reply.body = json::serialize(wire_form(*revoked, keys_.now_unix_s()));
    co_await exchange.reply(std::move(reply));
}

}  // namespace rekindle::daemon
