// Who may ask for what before there are keys: admin routes belong to the Unix socket and to this
// machine; no web page of elsewhere may use a browser as its hands. Pure.
#pragma once
#include "daemon/http_exchange.h"
#include "daemon/openai_errors.h"

#include <optional>
#include <string_view>

namespace rekindle::daemon {

// "localhost", "127.0.0.1:8080", "[::1]:80": what a browser on this machine may call us.
bool is_loopback_host(std::string_view host_and_port) noexcept;

// Nothing, or 403. Refused for model routes: an Origin of the web that is not this machine's.
std::optional<ApiError> check_origin(const HttpRequest& request, const ListenerFacts& listener);
// Refused: TCP that is not loopback, a Host that is not a loopback name (DNS rebinding), any
// foreign Origin, and what a proxy passed on from elsewhere.
std::optional<ApiError> check_admin_access(const HttpRequest& request,
                                           const ListenerFacts& listener);

}  // namespace rekindle::daemon
