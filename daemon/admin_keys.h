// The admin routes of API keys (docs/admin-api.md).
// Threading: the io thread. Ownership: the key store outlives it.
#pragma once
#include "daemon/http_exchange.h"
#include "daemon/http_router.h"
#include "daemon/key_store.h"

#include <string>
#include <vector>

namespace rekindle::daemon {

class AdminKeys {
public:
    explicit AdminKeys(KeyStore& keys) : keys_(keys) {}

    void add_routes(std::vector<Route>& routes);

private:
    Task<> create(HttpExchange& exchange);
    Task<> list(HttpExchange& exchange);
    Task<> revoke(HttpExchange& exchange, std::string id);

    KeyStore& keys_;
};

}  // namespace rekindle::daemon
