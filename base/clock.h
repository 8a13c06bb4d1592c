// Time as a dependency. Durations and deadlines come from the monotonic clock; wall time only
// stamps records. Code takes a `const Clock&`, tests pass a ManualClock and never sleep.
// Threading: SystemClock and ManualClock may be read from any thread.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>

namespace rekindle {

using Nanoseconds = std::chrono::nanoseconds;

class Clock {
public:
    virtual ~Clock() = default;
    // Since an arbitrary start; never goes back.
    virtual Nanoseconds monotonic() const noexcept = 0;
    // Since 1970-01-01 UTC; may jump.
    virtual Nanoseconds wall() const noexcept = 0;
};

class SystemClock final : public Clock {
public:
    Nanoseconds monotonic() const noexcept override;
    Nanoseconds wall() const noexcept override;
};

class ManualClock final : public Clock {
public:
    Nanoseconds monotonic() const noexcept override { return Nanoseconds(monotonic_ns_.load()); }
    Nanoseconds wall() const noexcept override { return Nanoseconds(wall_ns_.load()); }
    // Moves both clocks forward.
    void advance(Nanoseconds by) noexcept;
    // Moves the wall clock alone, as an NTP step does; may be negative.
    void step_wall(Nanoseconds by) noexcept;

private:
    std::atomic<int64_t> monotonic_ns_{1'000'000'000};
    std::atomic<int64_t> wall_ns_{1'700'000'000'000'000'000};
};

}  // namespace rekindle
