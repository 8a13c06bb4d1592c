#include "daemon/http_router.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

namespace rekindle::daemon {
namespace {

constexpr std::string_view kVersionPrefix = "/v1/";

std::string_view routed_path(std::string_view path) noexcept {
    return path.starts_with(kVersionPrefix) ? path.substr(kVersionPrefix.size() - 1) : path;
}

// What stands for the '*', empty for a pattern without one; nothing when the path does not match.
std::optional<std::string_view> match(std::string_view pattern, std::string_view path) noexcept {
    if (!pattern.ends_with('*')) {
        return pattern == path ? std::optional(std::string_view()) : std::nullopt;
    }
    pattern.remove_suffix(1);
    if (!path.starts_with(pattern) || path.size() == pattern.size()) {
        return std::nullopt;
    }
    const std::string_view rest = path.substr(pattern.size());
    return rest.find('/') == std::string_view::npos ? std::optional(rest) : std::nullopt;
}

}  // namespace

Task<> HttpRouter::handle(HttpExchange& exchange) {
    const HttpRequest& request = exchange.request();
    const std::string path(routed_path(request.path));
    const std::string method = request.method == "HEAD" ? "GET" : request.method;
    std::string allowed;
    for (const Route& route : routes_) {
        const auto rest = match(route.pattern, path);
        if (!rest) {
            continue;
        }
        if (route.method != method) {
            allowed += route.method == "GET" ? "GET, HEAD, " : fmt::format("{}, ", route.method);
            continue;
        }
        auto admitted = door_.admit(route.access, request, exchange.listener());
        if (auto* refused = std::get_if<ApiError>(&admitted)) {
            co_await exchange.reply_error(std::move(*refused));
            co_return;
        }
        exchange.set_caller(std::get<Caller>(std::move(admitted)));
        auto handling = route.handle(exchange, std::string(*rest));
        co_await std::move(handling);
        co_return;
    }
    if (!allowed.empty() || path == "*") {
        co_await refuse_method(exchange, allowed + "OPTIONS");
        co_return;
    }
    ApiError error = http_error(404, "unknown_url",
                                fmt::format("Unknown request URL: {} {}", request.method, path));
    co_await exchange.reply_error(std::move(error));
}

std::string_view HttpRouter::pattern_of(std::string_view path) const noexcept {
    for (const Route& route : routes_) {
        if (match(route.pattern, routed_path(path))) {
            return route.pattern;
        }
    }
    return {};
}

Task<> HttpRouter::refuse_method(HttpExchange& exchange, std::string allowed) {
    HttpReply reply;
    reply.fields.push_back({"Allow", allowed});
    const std::string& method = exchange.request().method;
    if (method == "OPTIONS") {
        reply.status = 204;
    } else {
        reply.status = 405;
        reply.body =
            error_json(http_error(405, "method_not_allowed",
                                  fmt::format("{} is not allowed here: use {}", method, allowed)));
    }
    co_await exchange.reply(std::move(reply));
}

}  // namespace rekindle::daemon
