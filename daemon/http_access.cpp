#include "daemon/http_access.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

namespace rekindle::daemon {
namespace {

ApiError forbidden(std::string message) {
    return api_error(Error{ErrorCode::kForbidden, std::move(message)});
}

// Of "http://localhost:3000" the authority; nothing for another scheme.
std::optional<std::string_view> web_authority(std::string_view origin) noexcept {
    for (const std::string_view scheme : {"http://", "https://"}) {
        if (origin.starts_with(scheme)) {
            return origin.substr(scheme.size());
        }
    }
    return std::nullopt;
}

}  // namespace

bool is_loopback_host(std::string_view host) noexcept {
    if (host.starts_with('[')) {
        return host == "[::1]" || host.starts_with("[::1]:");
    }
    host = host.substr(0, host.find(':'));
    if (equal_ignoring_case(host, "localhost")) {
        return true;
    }
    // 127.0.0.0/8, written as numbers: "127.example.org" is a name of somebody's.
    return host.starts_with("127.") && std::all_of(host.begin(), host.end(), [](char c) {
               return c == '.' || (c >= '0' && c <= '9');
           });
}

std::optional<ApiError> check_origin(const HttpRequest& request, const ListenerFacts& listener) {
    const auto origin = request.field("origin");
    if (!origin || listener.unix_socket) {
        return std::nullopt;
    }
    const auto authority = web_authority(*origin);
    // Desktop programs have schemes of their own ("app://…"); "null" is a sandboxed page.
    if ((authority && !is_loopback_host(*authority)) || *origin == "null") {
        return forbidden("Origin: requests from web pages of other hosts are refused");
    }
    return std::nullopt;
}

std::optional<ApiError> check_admin_origin(const HttpRequest& request) {
    const auto origin = request.field("origin");
    const auto authority = origin ? web_authority(*origin) : std::nullopt;
    if (origin && !(authority && is_loopback_host(*authority))) {
        return forbidden("Origin: admin routes are refused to web pages of other hosts");
    }
    return std::nullopt;
}

std::optional<ApiError> check_host(const HttpRequest& request) {
    const auto host = request.field("host");
    if (host && !is_loopback_host(*host)) {
        return forbidden(
            "Host: while it has no API keys this node answers only under a loopback name, such as "
            "localhost: use one, or make a key");
    }
    return std::nullopt;
}

std::optional<ApiError> check_keyless_admin(const HttpRequest& request) {
    if (!is_loopback_host(request.field("host").value_or(""))) {
        return forbidden("Host: admin routes are answered only under a loopback name");
    }
    if (auto refused = check_admin_origin(request)) {
        return refused;
    }
    constexpr std::array<std::string_view, 5> kProxyFields{"forwarded", "via", "x-forwarded-for",
                                                           "x-forwarded-host", "x-real-ip"};
    for (const std::string_view name : kProxyFields) {
        if (request.field(name)) {
            return forbidden(
                "admin routes are not answered through a proxy without a key: use an admin key, or "
                "the node's admin socket");
        }
    }
    return std::nullopt;
}

}  // namespace rekindle::daemon
