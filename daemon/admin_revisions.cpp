#include "daemon/admin_revisions.h"

#include "daemon/admin_api.h"
#include "daemon/api/deploy_types.h"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <string>
#include <utility>
#include <variant>

namespace rekindle::daemon {
namespace {

json::object revision_json(const RevisionInfo& revision) {
    return {{"revision", revision.revision}, {"image", revision.image},
            {"source", revision.source},     {"image_bytes", revision.image_bytes},
            {"context", revision.context},   {"created", revision.created_unix_s},
            {"manifest", revision.manifest}};
}

json::object details_json(const DeploymentDetails& details) {
    json::object out = api::to_json(wire_form(details.info));
    out["source"] = details.current.source;
    out["tensors"] = details.tensors;
    out["manifest"] = details.current.manifest;
    json::array history;
    for (const RevisionInfo& revision : details.history) {
        history.push_back(revision_json(revision));
    }
    out["history"] = std::move(history);
    return out;
}

HttpReply json_reply(const json::object& object) {
    HttpReply reply;
    reply.body = json::serialize(object);
    return reply;
}

Task<> reply_failure(HttpExchange& exchange, const Error& error) {
    ApiError api = api_error(error);
    co_await exchange.reply_error(std::move(api));
}

Task<> show_deployment(HttpExchange& exchange, Node& node, std::string name) {
    auto details = co_await node.describe(std::move(name));
    if (!details) {
        co_await reply_failure(exchange, details.error());
        co_return;
    }
    auto reply = json_reply(details_json(*details));
    co_await exchange.reply(std::move(reply));
}

// The revision to go back to: ?to=PREFIX.
std::variant<std::string, ApiError> read_target(std::string_view query) {
    const auto parameters = parse_query(query);
    if (!parameters) {
        return invalid_value("", "the query is malformed");
    }
    std::string to;
    for (const auto& [name, value] : *parameters) {
        if (name != "to") {
            return unknown_parameter(name);
        }
        if (value.empty() || value.find_first_not_of("0123456789abcdef") != std::string::npos) {
            return invalid_value("to", "to: must be the beginning of a revision, of 0-9 and a-f");
        }
        to = value;
    }
    return to;
}

Task<> roll_back(HttpExchange& exchange, Node& node, std::string name) {
    auto to = read_target(exchange.request().query);
    if (auto* refused = std::get_if<ApiError>(&to)) {
        co_await exchange.reply_error(std::move(*refused));
        co_return;
    }
    auto info = co_await node.rollback(std::move(name), std::move(std::get<std::string>(to)));
    if (!info) {
        co_await reply_failure(exchange, info.error());
        co_return;
    }
    auto reply = json_reply({{"deployment", api::to_json(wire_form(*info))}});
    co_await exchange.reply(std::move(reply));
}

Task<> list_aliases(HttpExchange& exchange, Node& node) {
    json::array list;
    for (const AliasInfo& alias : node.aliases()) {
        list.push_back(json::object{{"alias", alias.alias},
                                    {"name", alias.name},
                                    {"set_by", alias.by_manifest ? "manifest" : "hand"}});
    }
    auto reply = json_reply({{"aliases", std::move(list)}});
    co_await exchange.reply(std::move(reply));
}

std::variant<std::string, ApiError> read_alias_body(std::string_view body) {
    const auto parsed = parse_json(body, JsonLimits{.depth_max = 4});
    const json::object* object = parsed ? parsed->if_object() : nullptr;
    const json::value* name = object == nullptr ? nullptr : object->if_contains("name");
    if (name == nullptr || !name->is_string() || object->size() != 1) {
        return invalid_value("name", R"(the body must be {"name": the deployment's name})");
    }
    return std::string(name->get_string());
}

Task<> set_alias(HttpExchange& exchange, Node& node, std::string alias) {
    std::string body;
    auto fault = co_await exchange.read_body(&body);
    if (fault) {
        co_await exchange.reply_error(std::move(*fault));
        co_return;
    }
    auto name = read_alias_body(body);
    if (auto* refused = std::get_if<ApiError>(&name)) {
        co_await exchange.reply_error(std::move(*refused));
        co_return;
    }
    const auto set = node.set_alias(alias, std::get<std::string>(name));
    if (!set) {
        co_await reply_failure(exchange, set.error());
        co_return;
    }
    auto reply = json_reply({{"alias", alias}, {"name", std::get<std::string>(name)}});
    co_await exchange.reply(std::move(reply));
}

Task<> remove_alias(HttpExchange& exchange, Node& node, std::string alias) {
    const auto removed = node.remove_alias(alias);
    if (!removed) {
        co_await reply_failure(exchange, removed.error());
        co_return;
    }
    HttpReply reply;
    reply.status = 204;
    co_await exchange.reply(std::move(reply));
}

}  // namespace

json::object plan_json(const DeployPlan& plan) {
    const auto text_or_null = [](const std::string& text) {
        return text.empty() ? json::value() : json::value(text);
    };
    json::object out;
    out["name"] = plan.name;
    out["architecture"] = plan.architecture;
    out["revision"] = text_or_null(plan.revision);
    out["replaces"] = text_or_null(plan.replaces);
    out["weights_bytes"] = plan.weights_bytes;
    out["tensors"] = plan.tensors;
    out["context"] = plan.context;
    out["kv_bytes_per_sequence"] = plan.kv_bytes_per_sequence;
    out["kv_bytes"] = plan.kv_bytes;
    out["kv_type"] = plan.kv_type;
    out["memory_bytes"] = plan.weights_bytes + plan.kv_bytes;
    out["restore_ms"] = plan.restore ? json::value(plan.restore->count()) : json::value();
    out["price"] = json::object{{"input", plan.price_input},
                                {"output", plan.price_output},
                                {"cached", plan.price_cached},
                                {"currency", plan.currency}};
    return out;
}

void add_revision_routes(Node& node, std::vector<Route>& routes) {
    const auto add = [&](std::string_view method, std::string_view pattern, auto handle) {
        routes.push_back(Route{.method = method,
                               .pattern = pattern,
                               .access = Access::kAdmin,
                               .handle = [&node, handle](HttpExchange& exchange, std::string rest) {
                                   return handle(exchange, node, std::move(rest));
                               }});
    };
    add("GET", "/admin/v1/deployments/*", show_deployment);
    add("POST", "/admin/v1/rollback/*", roll_back);
    add("GET", "/admin/v1/aliases",
        [](HttpExchange& exchange, Node& listed, const std::string& /*rest*/) {
            return list_aliases(exchange, listed);
        });
    add("PUT", "/admin/v1/aliases/*", set_alias);
    add("DELETE", "/admin/v1/aliases/*", remove_alias);
}

}  // namespace rekindle::daemon
