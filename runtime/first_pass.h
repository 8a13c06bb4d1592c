// When a model's parts were computed for the first time: when a step asked for a part's weights,
// when they had arrived, and when it had been worked through. That is what a cold start looks like
// from inside; later steps note nothing.
// Invariant: each moment of a part is noted once, in this order, and then never changes.
// Threading: the engine thread.
#pragma once
#include "base/clock.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace rekindle::runtime {

struct PartTimes {
    uint64_t offset = 0;  // Bytes of the image space with what no part before it needed: from here
    uint64_t bytes = 0;   // so many.
    Nanoseconds asked{};
    Nanoseconds there{};
    Nanoseconds ended{};
};

class FirstPass {
public:
    // The parts in order of first use: the embedding, the layers, the head.
    void add_part(uint64_t offset, uint64_t bytes) {
        parts_.push_back({.offset = offset, .bytes = bytes});
    }

    void asked(size_t part, const Clock& clock) noexcept { parts_[part].asked = clock.monotonic(); }
    void there(size_t part, const Clock& clock) noexcept { parts_[part].there = clock.monotonic(); }

    // Cheap enough for every layer of every step: one comparison once it was noted.
    void ended(size_t part, const Clock& clock) noexcept {
        if (part == ended_) {
            parts_[part].ended = clock.monotonic();
            ++ended_;
        }
    }

    // All parts, once the last one has been worked through; before that none.
    std::span<const PartTimes> parts() const noexcept {
        return ended_ == parts_.size() ? std::span<const PartTimes>(parts_)
                                       : std::span<const PartTimes>();
    }

private:
    std::vector<PartTimes> parts_;
    size_t ended_ = 0;  // Parts before this one were worked through.
};

}  // namespace rekindle::runtime
