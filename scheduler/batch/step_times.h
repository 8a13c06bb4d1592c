// How long a step takes by how many rows it computes, compared with steps of other sizes: what
// another row costs. Learned from the steps that are done anyway. The machine's pace (its clock,
// other processes, the length of the sequences) is kept apart from the shape of the curve, which is
// not smooth: kernels compute several rows as cheaply as one, up to a border.
// Sizes that were not seen lately are slowly thought to be cheaper than they were, so that one
// measurement that was disturbed does not rule a size out for ever.
// Threading: the engine thread.
#pragma once
#include "base/clock.h"

#include <array>
#include <cstdint>

namespace rekindle::scheduler {

class StepTimes {
public:
    static constexpr uint32_t kRowsMax = 64;

    // Of a step of `rows` (1 to kRowsMax), in a unit that all sizes share.
    double of(uint32_t rows) const noexcept;

    // The same in nanoseconds; 0 before anything was measured.
    double ns_of(uint32_t rows) const noexcept { return pace_ns_ * of(rows); }

    // A step of `rows`, each with logits, took so long; more than kRowsMax are ignored.
    void measured(uint32_t rows, Nanoseconds time) noexcept;

private:
    struct Size {
        double time = 0;     // In units of pace_ns_; 0: never measured.
        uint32_t count = 0;  // Measurements behind it, at most kCountMax.
        uint64_t seen = 0;   // The step that measured it last.
    };

    double guess(uint32_t rows) const noexcept;
    void grow_curious() noexcept;

    double pace_ns_ = 0;
    uint64_t steps_ = 0;
    std::array<Size, kRowsMax + 1> sizes_{};  // [rows]
    uint32_t curious_ = 1;                    // The size that is thought cheaper next.
};

}  // namespace rekindle::scheduler
