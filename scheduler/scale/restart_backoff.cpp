#include "scheduler/scale/restart_backoff.h"

#include <algorithm>
#include <limits>

namespace rekindle::scheduler {
namespace {

constexpr uint32_t kDoublingsMax = 30;  // Beyond it `longest` has long been reached.

}  // namespace

void RestartBackoff::failed(Nanoseconds now, double spread) {
    const int64_t doubled = limits_.first.count() << std::min(failures_, kDoublingsMax);
    const Nanoseconds wait = std::min(std::chrono::milliseconds(doubled), limits_.longest);
    failures_ += failures_ < std::numeric_limits<uint32_t>::max() ? 1 : 0;
    const auto shorter = static_cast<int64_t>(static_cast<double>(wait.count()) * spread / 2);
    not_before_ = now + wait - Nanoseconds(shorter);
}

void RestartBackoff::succeeded() noexcept {
    failures_ = 0;
    not_before_ = Nanoseconds(0);
}

Nanoseconds RestartBackoff::wait(Nanoseconds now) const noexcept {
    return failures_ == 0 ? Nanoseconds(0) : std::max(not_before_ - now, Nanoseconds(0));
}

}  // namespace rekindle::scheduler
