#include "daemon/admin_upkeep.h"

#include "daemon/admin_api.h"
#include "daemon/api/deploy_types.h"
#include "daemon/openai_errors.h"
#include "daemon/openai_fields.h"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace rekindle::daemon {
namespace {

constexpr uint32_t kVerifyShareDefault = 50;
constexpr int kOk = 200;
constexpr int kAccepted = 202;

// ---- Reading queries ----

using Query = std::vector<std::pair<std::string, std::string>>;

// All parameters, each of which must be one of `known`.
std::variant<Query, ApiError> read_query(std::string_view text,
                                         std::initializer_list<std::string_view> known) {
    const auto parameters = parse_query(text);
    if (!parameters) {
        return invalid_value("", "the query is malformed");
    }
    Query query;
    for (const auto& [name, value] : *parameters) {
        if (std::ranges::find(known, std::string_view(name)) == known.end()) {
            return unknown_parameter(name);
        }
        query.emplace_back(name, value);
    }
    return query;
}

const std::string* value_of(const Query& query, std::string_view name) {
    for (const auto& [key, value] : query) {
        if (key == name) {
            return &value;
        }
    }
    return nullptr;
}

std::variant<bool, ApiError> flag_of(const Query& query, std::string_view name, bool unsaid) {
    const std::string* value = value_of(query, name);
    if (value == nullptr) {
        return unsaid;
    }
    if (*value != "true" && *value != "false") {
        return invalid_value(std::string(name), fmt::format("{}: must be true or false", name));
    }
    return *value == "true";
}

std::variant<bool, ApiError> read_flag(std::string_view text, std::string_view name, bool unsaid) {
    auto query = read_query(text, {name});
    if (auto* refused = std::get_if<ApiError>(&query)) {
        return std::move(*refused);
    }
    return flag_of(std::get<Query>(query), name, unsaid);
}

std::variant<GcSpec, ApiError> read_gc(std::string_view text) {
    auto query = read_query(text, {"dry_run", "pulled"});
    if (auto* refused = std::get_if<ApiError>(&query)) {
        return std::move(*refused);
    }
    auto dry_run = flag_of(std::get<Query>(query), "dry_run", false);
    if (auto* refused = std::get_if<ApiError>(&dry_run)) {
        return std::move(*refused);
    }
    auto pulled = flag_of(std::get<Query>(query), "pulled", false);
    if (auto* refused = std::get_if<ApiError>(&pulled)) {
        return std::move(*refused);
    }
    return GcSpec{.dry_run = std::get<bool>(dry_run), .pulled = std::get<bool>(pulled)};
}

std::optional<int64_t> whole_number(std::string_view text, int64_t low, int64_t high) {
    int64_t value = 0;
    const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool whole = status == std::errc() && end == text.data() + text.size();
    return whole && value >= low && value <= high ? std::optional(value) : std::nullopt;
}

std::variant<VerifySpec, ApiError> read_verify(std::string_view text) {
    auto query = read_query(text, {"model", "share"});
    if (auto* refused = std::get_if<ApiError>(&query)) {
        return std::move(*refused);
    }
    VerifySpec spec{.share_percent = kVerifyShareDefault};
    for (auto& [name, value] : std::get<Query>(query)) {
        if (name == "model") {
            spec.model = std::move(value);
            continue;
        }
        const auto share = whole_number(value, 1, kVerifySharePercentMax);
        if (!share) {
            return invalid_value("share", "share: must be a whole number of percent, 1 to 100");
        }
        spec.share_percent = static_cast<uint32_t>(*share);
    }
    return spec;
}

std::variant<CoolSpec, ApiError> read_cool(std::string_view text, std::string model) {
    auto query = read_query(text, {"to", "wait_ms"});
    if (auto* refused = std::get_if<ApiError>(&query)) {
        return std::move(*refused);
    }
    CoolSpec spec{.model = std::move(model)};
    if (const std::string* to = value_of(std::get<Query>(query), "to")) {
        if (*to != "host" && *to != "disk") {
            return invalid_value("to", "to: must be host or disk");
        }
        spec.to = *to == "disk" ? CoolTo::kDisk : CoolTo::kHost;
    }
    if (const std::string* wait = value_of(std::get<Query>(query), "wait_ms")) {
        const auto wait_ms = whole_number(*wait, 0, kCoolWaitMsMax);
        if (!wait_ms) {
            return invalid_value(
                "wait_ms", fmt::format("wait_ms: must be a whole number, 0 to {}", kCoolWaitMsMax));
        }
        spec.wait = std::chrono::milliseconds(*wait_ms);
    }
    return spec;
}

// ---- What the answers hold ----

json::object gc_json(const GcReport& report) {
    return {{"dry_run", report.dry_run},
            {"images", json::array(report.images.begin(), report.images.end())},
            {"kept", json::array(report.kept.begin(), report.kept.end())},
            {"bytes_freed", report.bytes_freed},
            {"bytes_kept", report.bytes_kept}};
}

json::object verify_json(const VerifyReport& report) {
    json::array faults;
    for (const VerifyFault& fault : report.faults) {
        faults.push_back(
            json::object{{"image", fault.image},
                         {"models", json::array(fault.models.begin(), fault.models.end())},
                         {"chunk", fault.chunk},
                         {"reason", fault.reason}});
    }
    return {{"images", report.images},
            {"chunks", report.chunks},
            {"bytes", report.bytes},
            {"faults", std::move(faults)}};
}

Task<> reply_json(HttpExchange& exchange, const json::object& object) {
    HttpReply reply;
    reply.body = json::serialize(object);
    co_await exchange.reply(std::move(reply));
}

Task<> reply_failure(HttpExchange& exchange, const Error& error) {
    ApiError api = api_error(error);
    co_await exchange.reply_error(std::move(api));
}

Task<> reply_deployment(HttpExchange& exchange, const Result<DeploymentInfo>& info) {
    if (!info) {
        co_await reply_failure(exchange, info.error());
        co_return;
    }
    const json::object out{{"deployment", api::to_json(wire_form(*info))}};
    co_await reply_json(exchange, out);
}

// ---- Handlers ----

Task<> collect(HttpExchange& exchange, Upkeep& upkeep) {
    auto spec = read_gc(exchange.request().query);
    if (auto* refused = std::get_if<ApiError>(&spec)) {
        co_await exchange.reply_error(std::move(*refused));
        co_return;
    }
    const auto report = co_await upkeep.gc(std::get<GcSpec>(spec));
    if (!report) {
        co_await reply_failure(exchange, report.error());
        co_return;
    }
    const json::object out{{"gc", gc_json(*report)}};
    co_await reply_json(exchange, out);
}

// Until the report, an error or the client's end; the answer's last line, if anybody reads it.
Task<std::optional<std::string>> tell_progress(HttpExchange* exchange, VerifyStream* stream) {
    while (!exchange->interrupted()) {
        auto event = co_await stream->next();
        if (!event) {
            co_return error_json(api_error(event.error())) + "\n";
        }
        if (const auto* report = std::get_if<VerifyReport>(&*event)) {
            co_return json::serialize(json::object{{"verify", verify_json(*report)}}) + "\n";
        }
        const auto& progress = std::get<VerifyProgress>(*event);
        const std::string line =
            json::serialize(json::object{{"done", progress.done}, {"total", progress.total}}) +
            "\n";
        const bool sent = co_await exchange->send_part(line);
        if (!sent) {
            co_return std::nullopt;
        }
    }
    co_return std::nullopt;
}

Task<> verify_chunks(HttpExchange& exchange, Upkeep& upkeep) {
    auto spec = read_verify(exchange.request().query);
    if (auto* refused = std::get_if<ApiError>(&spec)) {
        co_await exchange.reply_error(std::move(*refused));
        co_return;
    }
    auto begun = co_await upkeep.verify(std::move(std::get<VerifySpec>(spec)));
    if (!begun) {
        co_await reply_failure(exchange, begun.error());
        co_return;
    }
    std::unique_ptr<VerifyStream> stream = std::move(begun).value();
    exchange.on_interrupt([](Interrupt /*reason*/) {});
    exchange.begin_stream(lines_head());
    const auto last = co_await tell_progress(&exchange, stream.get());
    stream.reset();  // Before the answer's end: who has read it may ask for the next check.
    if (last && !exchange.interrupted()) {
        co_await exchange.end_stream(*last);
    } else {
        exchange.close_after();
    }
}

Task<> warm_model(HttpExchange& exchange, Upkeep& upkeep, std::string name) {
    auto wait = read_flag(exchange.request().query, "wait", true);
    if (auto* refused = std::get_if<ApiError>(&wait)) {
        co_await exchange.reply_error(std::move(*refused));
        co_return;
    }
    const auto info = co_await upkeep.warm(std::move(name), std::get<bool>(wait));
    co_await reply_deployment(exchange, info);
}

// For whoever may ask the model, and could wake it by asking: a page visit starts the restore.
Task<> preload_model(HttpExchange& exchange, Upkeep& upkeep, std::string name) {
    const auto info = co_await upkeep.warm(std::move(name), /*wait=*/false);
    if (!info) {
        co_await reply_failure(exchange, info.error());
        co_return;
    }
    HttpReply reply;
    reply.status = info->restoring ? kAccepted : kOk;
    reply.body = json::serialize(json::object{{"model", info->name}, {"ready", !info->restoring}});
    co_await exchange.reply(std::move(reply));
}

Task<> cool_model(HttpExchange& exchange, Upkeep& upkeep, std::string name) {
    auto spec = read_cool(exchange.request().query, std::move(name));
    if (auto* refused = std::get_if<ApiError>(&spec)) {
        co_await exchange.reply_error(std::move(*refused));
        co_return;
    }
    const auto info = co_await upkeep.cool(std::move(std::get<CoolSpec>(spec)));
    co_await reply_deployment(exchange, info);
}

}  // namespace

void add_upkeep_routes(Upkeep& upkeep, std::vector<Route>& routes) {
    const auto add = [&routes](std::string_view pattern, auto handle) {
        routes.push_back(Route{.method = "POST",
                               .pattern = pattern,
                               .access = Access::kAdmin,
                               .handle = std::move(handle)});
    };
    add("/admin/v1/gc", [&upkeep](HttpExchange& exchange, const std::string& /*rest*/) {
        return collect(exchange, upkeep);
    });
    add("/admin/v1/verify", [&upkeep](HttpExchange& exchange, const std::string& /*rest*/) {
        return verify_chunks(exchange, upkeep);
    });
    add("/admin/v1/warm/*", [&upkeep](HttpExchange& exchange, std::string rest) {
        return warm_model(exchange, upkeep, std::move(rest));
    });
    routes.push_back(Route{.method = "POST",
                           .pattern = "/preload/*",
                           .access = Access::kModel,
                           .handle = [&upkeep](HttpExchange& exchange, std::string rest) {
                               return preload_model(exchange, upkeep, std::move(rest));
                           }});
    add("/admin/v1/cool/*", [&upkeep](HttpExchange& exchange, std::string rest) {
        return cool_model(exchange, upkeep, std::move(rest));
    });
}

}  // namespace rekindle::daemon
