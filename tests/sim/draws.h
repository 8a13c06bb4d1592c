// The run's random numbers: everything that varies between seeds is drawn from here, in the order
// of events, so a seed and its options say all. Threading: one thread.
#pragma once
#include "base/clock.h"
#include "base/random.h"

#include <cstdint>

namespace rekindle::sim {

class Draws {
public:
    explicit Draws(uint64_t seed) : seed_(seed) {}

    uint64_t next() noexcept { return counter_random(seed_, kStream, ++count_); }
    // In [0, below).
    uint64_t below(uint64_t below) noexcept { return next() % below; }
    // In [low, high].
    uint64_t between(uint64_t low, uint64_t high) noexcept { return low + below(high - low + 1); }
    bool chance(double share) noexcept { return counter_uniform(seed_, kStream, ++count_) < share; }
    Nanoseconds time(Nanoseconds low, Nanoseconds high) noexcept {
        return Nanoseconds(static_cast<int64_t>(
            between(static_cast<uint64_t>(low.count()), static_cast<uint64_t>(high.count()))));
    }

private:
    static constexpr uint64_t kStream = 0x73696D;  // "sim"
    const uint64_t seed_;
    uint64_t count_ = 0;
};

}  // namespace rekindle::sim
