#include "daemon/watch_api.h"

#include <boost/asio/post.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>
#include <variant>

namespace rekindle::daemon {
namespace {

constexpr std::string_view kOpenMetricsType = "application/openmetrics-text";

// Names of models stand in the messages: they are for this machine, the codes for everybody.
HttpReply health_reply(const std::vector<Unready>& reasons, const ListenerFacts& listener) {
    const bool in_full = listener.unix_socket || listener.loopback;
    HttpReply reply;
    json::object out;
    out["status"] = reasons.empty() ? "ok" : reasons.front().code;
    if (!reasons.empty()) {
        reply.status = 503;
        json::array list;
        for (const Unready& reason : reasons) {
            json::object shown{{"code", reason.code}};
            if (in_full) {
                shown["message"] = reason.message;
            }
            list.push_back(std::move(shown));
        }
        out["reasons"] = std::move(list);
    }
    reply.body = json::serialize(out);
    return reply;
}

constexpr size_t kLinesPerPart = 256;

struct LogRequest {
    LogFilter filter;
    bool follow = false;
};

std::optional<ApiError> read_log_parameter(const std::string& name, const std::string& value,
                                           LogRequest& out) {
    if (name == "model") {
        out.filter.model = value;
        return std::nullopt;
    }
    if (name == "level") {
        return parse_log_level(value, out.filter.level)
                   ? std::nullopt
                   : std::optional(
                         invalid_value(name, "level: must be \"info\", \"warning\" or \"error\""));
    }
    if (name == "follow") {
        out.follow = value == "true";
        return value == "true" || value == "false"
                   ? std::nullopt
                   : std::optional(invalid_value(name, "follow: must be true or false"));
    }
    if (name == "since") {
        const char* end = value.data() + value.size();
        const auto parsed = std::from_chars(value.data(), end, out.filter.since_unix_ms);
        return parsed.ec == std::errc() && parsed.ptr == end && out.filter.since_unix_ms >= 0
                   ? std::nullopt
                   : std::optional(invalid_value(name, "since: must be Unix time in milliseconds"));
    }
    return unknown_parameter(name);
}

std::variant<LogRequest, ApiError> read_log_query(std::string_view query) {
    const auto parameters = parse_query(query);
    if (!parameters) {
        return invalid_value("", "the query is malformed");
    }
    LogRequest out;
    for (const auto& [name, value] : *parameters) {
        auto fault = read_log_parameter(name, value, out);
        if (fault) {
            return *std::move(fault);
        }
    }
    return out;
}

std::string text_of(const LogRing::Batch& batch) {
    std::string out;
    if (batch.missed > 0) {
        out += json::serialize(json::object{{"missed", batch.missed}}) + "\n";
    }
    for (const LogLine& line : batch.lines) {
        json::object fields;
        for (const auto& [key, value] : line.fields) {
            fields[key] = value;
        }
        out += json::serialize(json::object{{"time", line.unix_ms},
                                            {"level", log_level_name(line.level)},
                                            {"event", line.event},
                                            {"fields", std::move(fields)}}) +
               "\n";
    }
    return out;
}

}  // namespace

WatchApi::WatchApi(asio::io_context& context, Node& node, LogRing* logs)
    : context_(context),
      node_(node),
      logs_(logs),
      followers_(std::make_shared<Followers>(context)) {
    if (logs_ != nullptr) {
        watcher_ = logs_->watch([&context, weak = std::weak_ptr(followers_)] {
            asio::post(context, [weak] {
                if (const auto followers = weak.lock()) {
                    followers->changed.notify();
                }
            });
        });
    }
}

WatchApi::~WatchApi() {
    if (logs_ != nullptr) {
        logs_->unwatch(watcher_);
    }
}

void WatchApi::end_streams() {
    followers_->ending = true;
    followers_->changed.notify();
}

void WatchApi::add_routes(std::vector<Route>& routes) {
    const auto add = [&routes](std::string_view pattern, Access access, auto handle) {
        routes.push_back(Route{
            .method = "GET", .pattern = pattern, .access = access, .handle = std::move(handle)});
    };
    add("/metrics", Access::kMetrics,
        [this](HttpExchange& exchange, const std::string& /*rest*/) { return metrics(exchange); });
    add("/healthz", Access::kPublic,
        [this](HttpExchange& exchange, const std::string& /*rest*/) { return alive(exchange); });
    add("/readyz", Access::kPublic,
        [this](HttpExchange& exchange, const std::string& /*rest*/) { return ready(exchange); });
    add("/admin/v1/traces/*", Access::kAdmin, [this](HttpExchange& exchange, std::string rest) {
        return trace(exchange, std::move(rest));
    });
    add("/admin/v1/cold-starts/*", Access::kAdmin,
        [this](HttpExchange& exchange, std::string rest) {
            return last_cold_start(exchange, std::move(rest));
        });
    if (logs_ != nullptr) {
        add("/admin/v1/logs", Access::kAdmin,
            [this](HttpExchange& exchange, const std::string& /*rest*/) { return logs(exchange); });
    }
}

Task<> WatchApi::metrics(HttpExchange& exchange) {
    node_.refresh_metrics();
    const auto accept = exchange.request().field("accept").value_or("");
    const MetricFormat format = accept.find(kOpenMetricsType) != std::string_view::npos
                                    ? MetricFormat::kOpenMetrics
                                    : MetricFormat::kPrometheus;
    HttpReply reply;
    reply.content_type = metric_content_type(format);
    // A hundred models are two megabytes: other requests get a turn after each family.
    for (const auto& family : node_.watch().metrics.registry.families()) {
        MetricRegistry::append_family(reply.body, *family, format);
        co_await asio::post(context_, kAsTuple);
    }
    MetricRegistry::append_end(reply.body, format);
    co_await exchange.reply(std::move(reply));
}

// That it answers shows that the io thread lives; what else a restart would cure is said.
Task<> WatchApi::alive(HttpExchange& exchange) {
    auto reasons = node_.unready();
    std::erase_if(reasons, [](const Unready& reason) { return !reason.restart_cures; });
    auto reply = health_reply(reasons, exchange.listener());
    co_await exchange.reply(std::move(reply));
}

Task<> WatchApi::ready(HttpExchange& exchange) {
    auto reply = health_reply(node_.unready(), exchange.listener());
    co_await exchange.reply(std::move(reply));
}

Task<> WatchApi::trace(HttpExchange& exchange, std::string id) {
    const auto parsed = billing::RequestId::parse(id);
    if (!parsed) {
        ApiError error = api_error(parsed.error());
        co_await exchange.reply_error(std::move(error));
        co_return;
    }
    HttpReply reply;
    if (const auto kept = node_.watch().traces.find(*parsed)) {
        reply.body = json::serialize(trace_json(*kept));
        co_await exchange.reply(std::move(reply));
        co_return;
    }
    auto found = co_await node_.find_request(*parsed);
    if (!found) {
        ApiError error = api_error(found.error());
        co_await exchange.reply_error(std::move(error));
        co_return;
    }
    reply.body = json::serialize(trace_json(*found));
    co_await exchange.reply(std::move(reply));
}

Task<> WatchApi::last_cold_start(HttpExchange& exchange, std::string model) {
    const auto deployment = node_.deployment(model);
    if (!deployment) {
        ApiError error = api_error(deployment.error());
        co_await exchange.reply_error(std::move(error));
        co_return;
    }
    const auto& kept = node_.watch().last_cold;
    const auto last = kept.find(deployment->name);
    if (last == kept.end()) {
        ApiError error = api_error(Error{
            ErrorCode::kNotFound, fmt::format("model {}: no request has found it cold since this "
                                              "daemon started",
                                              deployment->name)});
        co_await exchange.reply_error(std::move(error));
        co_return;
    }
    HttpReply reply;
    reply.body = json::serialize(trace_json(*last->second));
    co_await exchange.reply(std::move(reply));
}

Task<> WatchApi::logs(HttpExchange& exchange) {
    auto parsed = read_log_query(exchange.request().query);
    if (auto* refused = std::get_if<ApiError>(&parsed)) {
        co_await exchange.reply_error(std::move(*refused));
        co_return;
    }
    const LogRequest request = std::get<LogRequest>(std::move(parsed));
    const std::shared_ptr<Followers> followers = followers_;
    uint64_t next = logs_->first();
    exchange.begin_stream(lines_head());
    exchange.keep_alive("\n", lines_head());  // Blank lines show who has left.
    exchange.on_interrupt([followers](Interrupt /*reason*/) { followers->changed.notify(); });
    bool begun = false;  // The head goes out at once, also while there is no line.
    while (!exchange.interrupted()) {
        const bool ending = followers->ending || !request.follow;
        const LogRing::Batch batch = logs_->read(next, kLinesPerPart, request.filter);
        const bool caught_up = batch.next == next;
        next = batch.next;
        const std::string part = text_of(batch);
        if (!part.empty() || !std::exchange(begun, true)) {
            const bool sent = co_await exchange.send_part(part);
            if (!sent) {
                co_return;
            }
        }
        if (caught_up && ending) {
            break;
        }
        if (caught_up) {
            co_await followers->changed.wait();
        }
    }
    const std::string nothing;
    co_await exchange.end_stream(nothing);
}

Task<> CountedRoutes::handle(HttpExchange& exchange) {
    const std::string_view pattern = router_.pattern_of(exchange.request().path);
    auto handling = router_.handle(exchange);
    co_await std::move(handling);
    // A client that left before its answer began gets none.
    const std::string status = exchange.status() == 0 ? "none" : std::to_string(exchange.status());
    node_.watch().metrics.own.http_requests.add(
        {pattern.empty() ? "unknown" : std::string(pattern), status}, 1);
}

}  // namespace rekindle::daemon
