// rekindled's end of one worker: frames over its transport, and who waits for them.
// A frame that does not parse, or that breaks the protocol, kills the worker: all its requests fail
// with kUnavailable, and none of them is billed.
// Threading: the io thread. Lifetime: shared by the pool or model that uses it and by its own two
// coroutines, which end when the socket does.
#pragma once
#include "base/async/asio.h"
#include "base/async/event.h"
#include "base/async/gate.h"
#include "base/result.h"
#include "daemon/frames.h"
#include "daemon/worker_transport.h"

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace rekindle::daemon {

class WorkerLink : public std::enable_shared_from_this<WorkerLink> {
public:
    // Who listens to a worker. Called on the io thread; must not destroy the link from inside.
    class Listener {
    public:
        virtual ~Listener() = default;
        virtual void on_frame(Frame frame) = 0;
        // Once; no frame follows. `reason` says how it ended.
        virtual void on_end(const Error& reason) = 0;
    };

    // Starts a generic worker.
    static Result<std::shared_ptr<WorkerLink>> start(asio::io_context& context, Gate& gate,
                                                     WorkerLauncher& launcher);
    WorkerLink(const WorkerLink&) = delete;
    WorkerLink& operator=(const WorkerLink&) = delete;
    ~WorkerLink();

    // At most one listener at a time; nullptr drops events (only the end is remembered).
    void listen(Listener* listener);
    // Queues a frame; ignored after the end.
    void send(const Frame& frame);
    // Queues a frame whose first byte carries descriptors.
    void send_with_descriptors(const Frame& frame, std::vector<UniqueFd> descriptors);
    // Until the second call, what is sent waits in the queue.
    void hold_back() { held_back_ = true; }
    void go_on();
    // Kills the process; on_end follows.
    void kill();
    // Kills the process and listens no more; `gone` is called once it is reaped and what it held is
    // released.
    void dismiss(std::function<void()> gone);
    // Keeps `resource` (an image that the worker maps) until the process is reaped.
    void hold(std::shared_ptr<const void> resource) { held_.push_back(std::move(resource)); }

    pid_t pid() const noexcept { return transport_->pid(); }
    // Hello arrived.
    bool greeted() const noexcept { return greeted_; }
    bool ended() const noexcept { return ended_; }
    const std::string& kernels() const noexcept { return kernels_; }

private:
    WorkerLink(asio::io_context& context, std::unique_ptr<WorkerTransport> transport);
    Task<> read_frames(std::shared_ptr<WorkerLink> self);
    Task<> write_frames(std::shared_ptr<WorkerLink> self);
    Task<std::optional<Error>> read_one();
    void dispatch(Frame frame);
    void end(Error reason);

    const std::unique_ptr<WorkerTransport> transport_;
    Event outgoing_added_;
    std::deque<WorkerMessage> outgoing_;
    Listener* listener_ = nullptr;
    std::function<void()> gone_;
    std::vector<std::shared_ptr<const void>> held_;
    std::string kernels_;
    bool greeted_ = false;
    bool held_back_ = false;
    bool ended_ = false;
};

}  // namespace rekindle::daemon
