// Which prompts compute how many tokens in the next step. The oldest prompt gets half of what there
// is, so that none waits for ever; the rest goes to those with the least left to compute, so that a
// short prompt is not held up by a long one. A prompt whose next page an older one is computing
// waits for that page instead of computing it a second time.
// Invariant: the oldest prompt gets at least one token. Threading: the engine thread.
#pragma once
#include "scheduler/batch/sequence.h"

#include <cstdint>
#include <span>

namespace rekindle::scheduler {

struct PrefillLimits {
    uint32_t tokens = 1;        // In this step, over all prompts; at least one.
    bool prefix_cache = false;  // Pages are shared: waiting for one pays.
};

// Sets `planned` of `prompts`, which are in order of arrival and may all be computed.
void plan_prefill(std::span<Sequence* const> prompts, const PrefillLimits& limits);

}  // namespace rekindle::scheduler
