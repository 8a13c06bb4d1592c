// How long to wait before a worker is started again after it failed: doubling, with a limit, back
// to nothing after a success. Spread by the caller's random number, so that many don't start at
// once. Threading: one thread.
#pragma once
#include "base/clock.h"

#include <chrono>
#include <cstdint>

namespace rekindle::scheduler {

struct BackoffLimits {
    std::chrono::milliseconds first{100};
    std::chrono::milliseconds longest{30'000};
};

class RestartBackoff {
public:
    explicit RestartBackoff(BackoffLimits limits) : limits_(limits) {}

    // The worker ended without being asked to. `spread` in [0, 1) shortens the wait by up to half.
    void failed(Nanoseconds now, double spread);
    // It served a request, or was ended by us.
    void succeeded() noexcept;

    // How long from `now` until it may start; 0: at once.
    Nanoseconds wait(Nanoseconds now) const noexcept;

    uint32_t failures() const noexcept { return failures_; }

private:
    const BackoffLimits limits_;
    uint32_t failures_ = 0;  // In a row.
    Nanoseconds not_before_{};
};

}  // namespace rekindle::scheduler
