#include "daemon/http_front.h"

#include "base/async/offload.h"
#include "base/log.h"
#include "daemon/admin_api.h"
#include "daemon/admin_backup.h"
#include "daemon/admin_keys.h"
#include "daemon/admin_upkeep.h"
#include "daemon/http_auth.h"
#include "daemon/http_router.h"
#include "daemon/http_server.h"
#include "daemon/openai_api.h"
#include "daemon/watch_api.h"

#include <utility>
#include <vector>

namespace rekindle::daemon {

struct HttpFront::State {
    State(asio::io_context& context, Node& node, const Clock& clock, Entropy& entropy,
          FrontOptions front_options)
        : options(std::move(front_options)),
          gate(context),
          openai(node, entropy, compute),
          admin({context, node, gate, compute, options.unix_path}),
          watch(context, node, options.logs),
          keys(options.keys),
          backup(options.backup, compute),
          door(options.keys),
          router(routes(), door),
          counted(router, node),
          server(context, options.limits, clock, entropy, counted) {}

    std::vector<Route> routes() {
        std::vector<Route> all;
        openai.add_routes(all);
        admin.add_routes(all);
        watch.add_routes(all);
        keys.add_routes(all);
        if (options.upkeep != nullptr) {
            add_upkeep_routes(*options.upkeep, all);
        }
        if (options.backup) {
            backup.add_routes(all);
        }
        return all;
    }

    const FrontOptions options;
    Gate gate;  // Deployments under way.
    // Writes uploads, parses large bodies: two, so that a slow disk holds up no prompt.
    ComputePool compute{2};
    OpenAiApi openai;
    AdminApi admin;
    WatchApi watch;
    AdminKeys keys;
    AdminBackup backup;
    Doorkeeper door;
    HttpRouter router;
    CountedRoutes counted;
    HttpServer server;
};

HttpFront::HttpFront(asio::io_context& context, Node& node, const Clock& clock, Entropy& entropy,
                     FrontOptions options)
    : state_(std::make_unique<State>(context, node, clock, entropy, std::move(options))) {}

HttpFront::~HttpFront() {
    state_->compute.stop_and_join();
}

Result<uint16_t> HttpFront::start() {
    uint16_t port = 0;
    if (!state_->options.listen.empty()) {
        const auto endpoint = parse_listen_address(state_->options.listen);
        if (!endpoint) {
            return endpoint.error();
        }
        const auto bound = state_->server.listen_tcp(*endpoint);
        if (!bound) {
            return bound.error();
        }
        port = *bound;
        if (!endpoint->address().is_loopback() && !state_->options.keys.any()) {
            log_warning("no_keys", {{"listen", state_->options.listen},
                                    {"hint",
                                     "requests there are refused until `rekindle keys "
                                     "create` has made a key"}});
        }
    }
    if (!state_->options.unix_path.empty()) {
        const auto bound = state_->server.listen_unix(state_->options.unix_path);
        if (!bound) {
            return bound.error();
        }
    }
    state_->server.start();
    return port;
}

const std::vector<Route>& HttpFront::routes() const noexcept {
    return state_->router.routes();
}

Task<> HttpFront::stop(std::chrono::milliseconds deadline) {
    state_->watch.end_streams();
    co_await state_->server.stop(deadline);
    co_await state_->gate.close();
}

}  // namespace rekindle::daemon
