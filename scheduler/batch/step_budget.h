// How many prompt tokens a step computes beside answers that are being sampled: as many as keep the
// step within a time, judged by how long earlier steps took. Answers depend on none of this, for a
// row's bits do not depend on how a prompt is cut.
// Invariant: prompts always get on: at least one token a step, and at least as much of a step's
// time as the answers take of it. Threading: the engine thread.
#pragma once
#include "base/clock.h"

#include <cstdint>

namespace rekindle::scheduler {

// A prompt that is computed beside answers makes their steps no longer than this, unless the
// answers alone take half of it: 20 tokens a second read as fast as people do.
inline constexpr Nanoseconds kStepTime = std::chrono::milliseconds(50);

// What a step computed.
struct StepMeasure {
    Nanoseconds time{};          // Without waiting for weights.
    uint32_t decodes = 0;        // Sequences that only lacked their last token.
    uint32_t prompt_tokens = 0;  // Of the others.
    uint32_t drafts = 0;         // Guesses that were computed beside the decodes.
};

class StepBudget {
public:
    explicit StepBudget(Nanoseconds step_time) noexcept : step_time_(step_time) {}

    // Prompt tokens for the next step, at most `most`; all of them when nobody is answered.
    uint32_t prompt_tokens(uint32_t decodes, uint32_t most) const noexcept;

    void measured(const StepMeasure& step) noexcept;

private:
    const Nanoseconds step_time_;
    // Moving averages; 0: not known yet.
    double decode_ns_ = 0;        // A step without prompt tokens.
    double prompt_token_ns_ = 0;  // What a prompt token adds to a step.
};

}  // namespace rekindle::scheduler
