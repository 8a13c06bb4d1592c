#include "daemon/instance_watch.h"

#include <fmt/format.h>

#include <algorithm>

namespace rekindle::daemon {

void InstanceWatch::wake_begins() {
    woken_at_ = clock_.monotonic();
    cold_.emplace();
    cold_trace_ = std::make_shared<ColdTrace>(woken_at_);
    restored_ = false;
    load_.reset();
}

void InstanceWatch::worker_taken() {
    if (cold_) {
        cold_->acquire = clock_.monotonic() - woken_at_;
    }
}

void InstanceWatch::assigned() {
    if (cold_) {
        cold_->assign = clock_.monotonic() - woken_at_;
    }
}

void InstanceWatch::restored(const snapshot::RestoreTimes& times, uint64_t image_bytes) {
    restored_ = true;
    cold_trace_->restored(times.arrivals);
    progress_at_ = clock_.monotonic();
    RekindleMetrics& own = watch_.metrics.own;
    const bool fetched = times.bytes_fetched > 0;
    own.restores.add({model_, times.from_memory ? "resident" : (fetched ? "fetched" : "read")}, 1);
    if (times.from_memory) {
        own.restore_bytes.add({"memory"}, image_bytes);
    } else {
        own.restore_bytes.add({"disk"}, times.bytes_read);
    }
    if (fetched) {
        own.restore_bytes.add({"remote"}, times.bytes_fetched);
    }
    if (cold_) {
        cold_->tier = times.from_memory ? "memory" : (fetched ? "remote" : "disk");
        cold_->restore = progress_at_ - woken_at_;
        end_cold_start();
    }
}

void InstanceWatch::restore_failed() {
    watch_.metrics.own.restores.add({model_, "failed"}, 1);
    cold_.reset();
}

// A model that was woken by a deployment and is called later had no cold start that anybody felt.
void InstanceWatch::token_of(const RequestTrace& trace) {
    if (!cold_ || cold_->first_token) {
        return;
    }
    if (!trace.cold) {
        cold_.reset();
        return;
    }
    cold_->queue = std::max(woken_at_ - trace.accepted_at, Nanoseconds{});
    cold_->first_token = clock_.monotonic() - woken_at_;
    end_cold_start();
}

// The last latch opens before the first token, but the news of it may come after.
void InstanceWatch::end_cold_start() {
    if (cold_->first_token && cold_->restore) {
        watch_.metrics.cold_start(model_, *cold_);
        cold_.reset();
    }
}

bool InstanceWatch::first_pass(const FirstPassFrame& pass) {
    if (!cold_trace_->empty()) {
        return false;
    }
    cold_trace_->computed(pass, clock_.monotonic());
    return true;
}

void InstanceWatch::step(const StepFrame& step) {
    load_ = step;
    watch_.metrics.own.weights_wait.add({model_}, Int128{step.wait_us} * 1000);
    if (step.sequences == 0) {
        return;  // Sequences left; nothing was computed.
    }
    progress_at_ = clock_.monotonic();
    watch_.metrics.step(model_, {.time = std::chrono::microseconds(step.step_us),
                                 .sequences = step.sequences,
                                 .tokens = step.tokens,
                                 .drafts = step.drafts,
                                 .draft_tokens = step.draft_tokens,
                                 .draft_accepted = step.draft_accepted,
                                 .model_tokens = step.model_tokens,
                                 .model_accepted = step.model_accepted,
                                 .model_rows = step.model_rows,
                                 .model_time = std::chrono::microseconds(step.model_us)});
    guesses_.computed += step.draft_tokens;
    guesses_.right += step.draft_accepted;
    guesses_.of_draft += step.model_tokens;
    guesses_.of_draft_right += step.model_accepted;
}

void InstanceWatch::worker_ended() {
    idle(false);
    load_.reset();
    cold_.reset();
}

void InstanceWatch::idle(bool idle_now) {
    const Nanoseconds now = clock_.monotonic();
    if (idle_counted_) {
        watch_.metrics.own.idle_seconds.add({model_}, (now - *idle_counted_).count());
    }
    idle_counted_ = idle_now ? std::optional(now) : std::nullopt;
}

void InstanceWatch::refresh(const RequestsNow& now) {
    VllmMetrics& vllm = watch_.metrics.vllm;
    const uint32_t in_batch_queue = load_ ? std::min(load_->waiting, now.running) : 0;
    vllm.requests_running.add({model_}, now.running - in_batch_queue);
    vllm.requests_waiting.add({model_}, now.waiting + in_batch_queue);
    if (load_ && load_->pages_total > 0) {
        vllm.kv_cache_usage.add({model_}, static_cast<double>(load_->pages_used) /
                                              static_cast<double>(load_->pages_total));
    }
    if (idle_counted_) {
        idle(true);
    }
}

std::optional<std::string> InstanceWatch::stalled(const RequestsNow& now) const {
    if (now.may_sample == 0 || !restored_) {
        return std::nullopt;
    }
    const auto p99 = watch_.metrics.own.step_seconds.quantile_bound({model_}, 0.99);
    const double limit =
        std::max(std::chrono::duration<double>(kStallMin).count(), kStallSteps * p99.value_or(0));
    const double silent = std::chrono::duration<double>(clock_.monotonic() - progress_at_).count();
    if (silent <= limit) {
        return std::nullopt;
    }
    return fmt::format("model {}: {} requests, and no token for {:.1f} s", model_, now.may_sample,
                       silent);
}

}  // namespace rekindle::daemon
