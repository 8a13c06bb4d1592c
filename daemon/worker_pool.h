// Generic workers that are ready before they are needed. take() hands out one that is greeted if
// there is one, else one that is still starting; the pool refills itself kRefillDelay later, off
// the critical path: starting a process takes 10 ms of a core that the prompt needs. A worker is
// handed out once and never comes back. Threading: the io thread. Lifetime: stop() before
// destruction.
#pragma once
#include "base/async/asio.h"
#include "base/async/event.h"
#include "base/async/gate.h"
#include "base/async/timer.h"
#include "base/clock.h"
#include "base/result.h"
#include "daemon/worker_link.h"
#include "scheduler/scale/restart_backoff.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace rekindle::daemon {

// After a worker was handed out; about as long as its first prompt takes.
inline constexpr Nanoseconds kRefillDelay = std::chrono::milliseconds(200);

class WorkerPool {
public:
    struct Services {
        asio::io_context& context;
        Gate& gate;
        const Clock& clock;
        Timers& timers;
        WorkerLauncher& launcher;
    };
    // Keeps `spare` workers ready.
    WorkerPool(Services services, uint32_t spare);
    WorkerPool(const WorkerPool&) = delete;
    WorkerPool& operator=(const WorkerPool&) = delete;
    ~WorkerPool();

    // Starts the first spare workers; an error here means that workers can't be started at all.
    Result<void> start();
    Result<std::shared_ptr<WorkerLink>> take();
    // Ends a worker that was taken. What it maps comes back a few milliseconds later, when it is
    // reaped.
    void dismiss(const std::shared_ptr<WorkerLink>& worker);
    // Dismissed workers that are not reaped yet; left() is notified whenever one is.
    uint32_t leaving() const noexcept { return leaving_; }
    Event& left() noexcept { return left_; }
    // Ends the spare workers and starts no more.
    void stop();
    // Spare workers that have greeted.
    uint32_t ready_count() const noexcept;

    bool ever_ready() const noexcept { return ever_ready_; }

    // Spare workers that died since one was ready last.
    uint32_t failures() const noexcept { return backoff_.failures(); }

    uint64_t started() const noexcept { return started_; }

    uint64_t deaths() const noexcept { return deaths_; }

private:
    // Watches a spare worker: one that dies before use is replaced, with growing pauses.
    class Spare;

    Result<void> add();
    void plan_refill();
    void refill();
    void spare_ended(const Spare* spare);

    const Services services_;
    const uint32_t spares_wanted_;
    std::vector<std::unique_ptr<Spare>> spares_;
    std::unique_ptr<Timer> refill_;
    std::unique_ptr<Timer> retry_;
    scheduler::RestartBackoff backoff_;
    bool refill_planned_ = false;
    bool stopped_ = false;
    bool ever_ready_ = false;
    uint64_t started_ = 0;
    uint64_t deaths_ = 0;  // Of spare workers.
    uint32_t leaving_ = 0;
    Event left_;
};

}  // namespace rekindle::daemon
