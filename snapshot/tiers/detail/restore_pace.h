// When the loader may read: slices of reading with rests between them, so that restores keep disk,
// memory and the loader's core busy for a share of the time only. At 100 percent there are no
// slices. Threading: set_share() on any thread, all else on the loader thread.
#pragma once
#include "base/clock.h"

#include <atomic>
#include <cstdint>
#include <optional>

namespace rekindle::snapshot {

// Long enough that emptying the queue at its end costs little, short enough that a step of tokens
// is held up once at most.
inline constexpr Nanoseconds kReadSlice = std::chrono::milliseconds(10);

class RestorePace {
public:
    explicit RestorePace(const Clock& clock) : clock_(clock) {}

    // 1 to 100.
    void set_share(uint32_t percent) noexcept { share_.store(percent); }

    // Whether more reads may start now; the first such question begins a slice.
    bool may_read();
    // For how long to rest, now that nothing is in flight: zero while the slice lasts. Ends the
    // slice.
    Nanoseconds take_rest();
    // There is nothing to read: what comes next begins a slice of its own.
    void end_slice() noexcept { began_.reset(); }

private:
    const Clock& clock_;
    std::atomic<uint32_t> share_{100};
    std::optional<Nanoseconds> began_;  // The slice.
};

}  // namespace rekindle::snapshot
