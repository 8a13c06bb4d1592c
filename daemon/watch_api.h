// The routes of those who watch: metrics, health, traces, the log. None of them wakes a model.
// Threading: the io thread. Ownership: the node outlives it.
#pragma once
#include "base/async/event.h"
#include "base/log_ring.h"
#include "daemon/http_exchange.h"
#include "daemon/http_router.h"
#include "daemon/node.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace rekindle::daemon {

class WatchApi {
public:
    // `logs` may be null: there is no log route then.
    WatchApi(asio::io_context& context, Node& node, LogRing* logs);
    WatchApi(const WatchApi&) = delete;
    WatchApi& operator=(const WatchApi&) = delete;
    ~WatchApi();

    void add_routes(std::vector<Route>& routes);
    // Whoever follows the log gets what is there, then the stream's end.
    void end_streams();

private:
    Task<> metrics(HttpExchange& exchange);
    Task<> alive(HttpExchange& exchange);
    Task<> ready(HttpExchange& exchange);
    Task<> trace(HttpExchange& exchange, std::string id);
    // The trace of the last request that found the model cold.
    Task<> last_cold_start(HttpExchange& exchange, std::string model);

    Task<> logs(HttpExchange& exchange);

    // Shared with what log lines post to the io thread, which may come after the end.
    struct Followers {
        explicit Followers(asio::io_context& context) : changed(context) {}

        Event changed;
        bool ending = false;
    };

    asio::io_context& context_;
    Node& node_;
    LogRing* const logs_;
    std::shared_ptr<Followers> followers_;
    uint64_t watcher_ = 0;
};

// Counts every answer by its route's pattern and its status.
class CountedRoutes final : public HttpHandler {
public:
    CountedRoutes(HttpRouter& router, Node& node) : router_(router), node_(node) {}

    Task<> handle(HttpExchange& exchange) override;

private:
    HttpRouter& router_;
    Node& node_;
};

}  // namespace rekindle::daemon
