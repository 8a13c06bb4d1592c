// What is refused whatever key comes with it, and what a request without a key must show: no web
// page of elsewhere may use a browser as its hands, by its own Origin or by a name that it let
// point here (DNS rebinding). Pure.
#pragma once
#include "daemon/http_exchange.h"
#include "daemon/openai_errors.h"

#include <optional>
#include <string_view>

namespace rekindle::daemon {

// "localhost", "127.0.0.1:8080", "[::1]:80": what a browser on this machine may call us.
bool is_loopback_host(std::string_view host_and_port) noexcept;

// Each: nothing, or 403.
// An Origin of the web that is not this machine's.
std::optional<ApiError> check_origin(const HttpRequest& request, const ListenerFacts& listener);
// Admin routes over TCP: any foreign Origin, desktop programs' too.
std::optional<ApiError> check_admin_origin(const HttpRequest& request);
// Without a key: a Host that is not a loopback name. HTTP/1.0 may have none.
std::optional<ApiError> check_host(const HttpRequest& request);
// Admin routes without a key: as above, a missing Host, and what a proxy passed on from elsewhere.
std::optional<ApiError> check_keyless_admin(const HttpRequest& request);

}  // namespace rekindle::daemon
