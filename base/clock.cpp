#include "base/clock.h"

namespace rekindle {

Nanoseconds SystemClock::monotonic() const noexcept {
    return std::chrono::steady_clock::now().time_since_epoch();
}

Nanoseconds SystemClock::wall() const noexcept {
    return std::chrono::system_clock::now().time_since_epoch();
}

void ManualClock::advance(Nanoseconds by) noexcept {
    monotonic_ns_ += by.count();
    wall_ns_ += by.count();
}

void ManualClock::step_wall(Nanoseconds by) noexcept {
    wall_ns_ += by.count();
}

}  // namespace rekindle
