// Where a step's time goes, by operation. A profile is a stopwatch that the graph presses after
// each operation; an engine without one does not look at a clock.
// Invariant: the times of a step's operations add up to no more than the step's.
// Threading: the engine thread. Lifetime: outlives the engine that it was set for, or is taken off.
#pragma once
#include "base/clock.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace rekindle::runtime {

enum class Op : uint32_t {
    kEmbed,          // Token vectors, and the angles of their positions.
    kNorm,           // With the addition to the residual stream before it.
    kQueryKeyValue,  // The three products.
    kStore,          // Rotation, and keys and values into their pages.
    kAttention,
    kAttentionOut,
    kGateUp,
    kActivation,
    kDown,
    kHead,  // Final norm and logits.
};

inline constexpr std::array<std::string_view, 10> kOpNames{
    "embed",         "norm",    "query_key_value", "rope_store", "attention",
    "attention_out", "gate_up", "activation",      "down",       "head"};

struct OpTime {
    uint64_t nanoseconds = 0;
    uint64_t calls = 0;
};

using OpTimes = std::array<OpTime, kOpNames.size()>;  // Indexed by Op.

class OpProfile {
public:
    explicit OpProfile(const Clock& clock) : clock_(clock) {}

    void begin_step() noexcept { pressed_ = clock_.monotonic(); }

    // `op` took the time since the last call.
    void ended(Op op) noexcept {
        const Nanoseconds now = clock_.monotonic();
        OpTime& time = times_[static_cast<size_t>(op)];
        time.nanoseconds += static_cast<uint64_t>((now - pressed_).count());
        ++time.calls;
        pressed_ = now;
    }

    const OpTimes& times() const noexcept { return times_; }

private:
    const Clock& clock_;
    Nanoseconds pressed_{};
    OpTimes times_{};
};

}  // namespace rekindle::runtime
