// The node's HTTP front: OpenAI's routes on a TCP listener, these and the admin routes on a Unix
// socket. It parses and checks requests, turns the node's events into answers, and tells the node
// what was delivered. Invariant: every stream ends with exactly one terminal frame, `[DONE]` or an
// error event, and `[DONE]` is sent only after the bill is durable.
// Threading: the io thread of `context`. Ownership: node, keys, clock and entropy outlive the
// front; stop() ends before the destructor when start() had success.
#pragma once
#include "base/async/asio.h"
#include "base/clock.h"
#include "base/log_ring.h"
#include "base/random.h"
#include "base/result.h"
#include "daemon/backup.h"
#include "daemon/http_limits.h"
#include "daemon/http_router.h"
#include "daemon/key_store.h"
#include "daemon/node.h"
#include "daemon/upkeep.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace rekindle::daemon {

struct FrontOptions {
    KeyStore& keys;
    // "address:port" or "[address]:port"; port 0 takes a free one. Empty: no TCP listener.
    std::string listen;
    // Empty: no Unix socket. A socket that lies there is replaced; its mode is 0600.
    std::string unix_path;
    // Makes backups; without it there is no route for them.
    BeginBackup backup;
    Upkeep* upkeep = nullptr;  // Outlives the front. Null: there are no routes for it.
    HttpLimits limits;
    LogRing* logs = nullptr;  // For the log route; outlives the front. Null: there is none.
};

class HttpFront {
public:
    HttpFront(asio::io_context& context, Node& node, const Clock& clock, Entropy& entropy,
              FrontOptions options);
    HttpFront(const HttpFront&) = delete;
    HttpFront& operator=(const HttpFront&) = delete;
    ~HttpFront();

    // Binds both listeners and begins to accept. The TCP port, or 0 without a TCP listener.
    // kInvalidArgument for an address that is none, kConflict for one in use.
    Result<uint16_t> start();

    // The whole table.
    const std::vector<Route>& routes() const noexcept;

    // Accepts no more, lets running requests end until the deadline; those that remain then get a
    // terminal error event and are not billed.
    Task<> stop(std::chrono::milliseconds deadline);

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace rekindle::daemon
