// The server's half of one attempt, as daemon/openai_answer.cpp has it: takes the node's events,
// writes them to a simulated socket, and keeps the order that the bill depends on.
// Threading: the daemon's context. Lifetime: shared by its coroutine and by events.
#pragma once
#include "base/async/event.h"
#include "daemon/node.h"
#include "tests/sim/attempt.h"
#include "tests/sim/world.h"

#include <functional>
#include <memory>
#include <string>

namespace rekindle::sim {

class Handler : public std::enable_shared_from_this<Handler> {
public:
    Handler(World& world, asio::io_context& context, daemon::Node& node, Attempt& attempt)
        : world_(world), node_(node), attempt_(attempt), changed_(context) {}

    Task<> run(std::shared_ptr<Handler> self);
    // The client closes its end now; the server sees it a little later.
    void client_leaves();
    // The node breaks it off (shutdown).
    void interrupt();
    // The daemon is dead.
    void cut();
    bool over() const noexcept { return over_; }
    Attempt& attempt() noexcept { return attempt_; }

private:
    Task<> relay();
    Task<> collect();
    Task<> close_books(std::string last, uint32_t carried);
    Task<> fail(Error error);
    // False when the client is gone, or the daemon is.
    Task<bool> write(std::string bytes, uint32_t tokens);
    void start_reading();
    // Checks a step against what the model says; false when it has ended.
    void take(const daemon::TokensFrame& tokens);
    bool gone() const noexcept { return close_seen_ || world_.points.dead(); }
    void close_seen();
    void end(Ending ending);

    World& world_;
    daemon::Node& node_;
    Attempt& attempt_;
    Event changed_;
    std::unique_ptr<daemon::GenerateStream> stream_;
    uint32_t undelivered_ = 0;
    size_t buffered_ = 0;   // In the socket, not read by the client.
    bool reading_ = false;  // A slow client's next read is scheduled.
    bool left_ = false;
    bool close_seen_ = false;
    bool shutting_down_ = false;
    bool over_ = false;
};

}  // namespace rekindle::sim
