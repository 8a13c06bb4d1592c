// The one table of routes. A path is matched after "/v1" was taken off, so base URLs with and
// without it work; HEAD is answered as GET without its body; what is not in the table is 404, what
// is there under another method 405. Before a handler runs, its route's class was checked.
// Threading: the io thread. Ownership: the doorkeeper outlives the router.
#pragma once
#include "daemon/http_auth.h"
#include "daemon/http_exchange.h"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace rekindle::daemon {

struct Route {
    std::string_view method;
    // "/models", or "/models/*": the rest (one segment, not empty) is handed to the handler.
    std::string_view pattern;
    Access access = Access::kAdmin;
    std::function<Task<>(HttpExchange& exchange, std::string rest)> handle;
};

class HttpRouter final : public HttpHandler {
public:
    HttpRouter(std::vector<Route> routes, Doorkeeper& door)
        : routes_(std::move(routes)), door_(door) {}

    Task<> handle(HttpExchange& exchange) override;

    // The pattern that `path` belongs to, whatever the method; empty for none.
    std::string_view pattern_of(std::string_view path) const noexcept;

    const std::vector<Route>& routes() const noexcept { return routes_; }

private:
    Task<> refuse_method(HttpExchange& exchange, std::string allowed);

    const std::vector<Route> routes_;
    Doorkeeper& door_;
};

}  // namespace rekindle::daemon
