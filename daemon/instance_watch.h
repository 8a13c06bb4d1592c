// What a model instance tells those who watch: its cold starts by phase, the load of its batch, its
// idle time, and whether it still makes progress.
// Threading: the io thread. Ownership: clock and watch outlive it.
#pragma once
#include "base/clock.h"
#include "daemon/frames.h"
#include "daemon/node.h"
#include "daemon/watch.h"
#include "snapshot/tiers/host_tier.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace rekindle::daemon {

// A model that may sample and does not is stalled after the longer of these.
inline constexpr std::chrono::seconds kStallMin{2};
inline constexpr int kStallSteps = 20;  // Times the 99th percentile of a step.

struct RequestsNow {
    uint32_t running = 0;     // Go was sent.
    uint32_t waiting = 0;     // Before that.
    uint32_t may_sample = 0;  // Running, and not held back by a slow client.
};

class InstanceWatch {
public:
    InstanceWatch(const Clock& clock, Watch& watch, std::string model)
        : clock_(clock),
          watch_(watch),
          model_(std::move(model)),
          cold_trace_(std::make_shared<ColdTrace>(clock.monotonic())) {}

    // ---- Cold start, in this order but for the last three ----
    void wake_begins();
    void worker_taken();
    void assigned();
    void restored(const snapshot::RestoreTimes& times, uint64_t image_bytes);
    void restore_failed();
    // Its self-check, which began then, has passed now.
    void checked(Nanoseconds begun) { cold_trace_->checked(begun, clock_.monotonic()); }
    void token_of(const RequestTrace& trace);
    // The worker used every part of the model for the first time; false when it told so before.
    bool first_pass(const FirstPassFrame& pass);

    // Of the last cold start; shared with the traces of the requests that waited for it.
    const std::shared_ptr<ColdTrace>& cold_trace() const noexcept { return cold_trace_; }

    // ---- Load and progress ----
    void step(const StepFrame& step);
    // The worker got work when it had none.
    void work_given() { progress_at_ = clock_.monotonic(); }
    void worker_ended();
    // Its worker is kept for nobody from now on, or no longer.
    void idle(bool idle_now);

    // Of this revision, since the daemon's start.
    const GuessTotals& guesses() const noexcept { return guesses_; }

    void refresh(const RequestsNow& now);
    // A sentence when nothing comes although something could.
    std::optional<std::string> stalled(const RequestsNow& now) const;

private:
    void end_cold_start();

    const Clock& clock_;
    Watch& watch_;
    const std::string model_;
    std::optional<ColdStart> cold_;  // Until its first token.
    std::shared_ptr<ColdTrace> cold_trace_;
    Nanoseconds woken_at_{};
    bool restored_ = false;
    Nanoseconds progress_at_{};
    GuessTotals guesses_;
    std::optional<StepFrame> load_;            // As of the worker's last step.
    std::optional<Nanoseconds> idle_counted_;  // Idle: its time is counted up to here.
};

}  // namespace rekindle::daemon
