#include "tests/sim/points.h"

namespace rekindle::sim {
namespace {

constexpr std::array<std::string_view, kPoints> kNames = {
    "wal.before_write",    "wal.after_write",    "wal.before_sync",    "wal.after_sync",
    "store.write",         "mark.before_write",  "mark.after_write",   "mark.before_sync",
    "mark.after_sync",     "ledger.before_done", "ledger.opened",      "frame.hello_in",
    "frame.assigned_in",   "frame.tokenized_in", "frame.tokens_in",    "frame.step_in",
    "frame.failed_in",     "frame.assign_out",   "frame.submit_out",   "frame.go_out",
    "frame.refuse_out",    "frame.lease_out",    "frame.cancel_out",   "client.accepted",
    "client.before_write", "client.after_write", "client.close_seen",  "client.before_finish",
    "client.after_finish", "client.before_last", "client.after_last",  "restore.acquired",
    "restore.read",        "restore.done",       "worker.start",       "worker.kill",
    "worker.reaped",       "timer.cooling",      "timer.worker_retry", "drain.begun",
    "daemon.stopped",
};

}  // namespace

std::string_view name_of(Point point) noexcept {
    return kNames[static_cast<size_t>(point)];
}

std::optional<Point> point_named(std::string_view name) noexcept {
    for (size_t i = 0; i < kPoints; ++i) {
        if (kNames[i] == name) {
            return static_cast<Point>(i);
        }
    }
    return std::nullopt;
}

void PointHits::add(const PointHits& other) noexcept {
    for (size_t i = 0; i < kPoints; ++i) {
        reached[i] += other.reached[i];
        crashed[i] += other.crashed[i];
    }
}

bool Points::hit(Point point) noexcept {
    if (dead_) {
        return true;
    }
    const auto index = static_cast<size_t>(point);
    ++hits_.reached[index];
    if (armed_ && armed_->point == point && --armed_->left == 0) {
        ++hits_.crashed[index];
        dead_ = armed_->kind;
        armed_.reset();
    }
    return dead_.has_value();
}

}  // namespace rekindle::sim
