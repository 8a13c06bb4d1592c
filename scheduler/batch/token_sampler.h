// From rows of logits to what a sequence says: its next token, the log-probabilities that were
// asked for, and whether the answer ends. Each changes the sequence as if its steps had one token
// each. Threading: the engine thread. Ownership: `is_end` outlives it.
#pragma once
#include "runtime/sampler.h"
#include "scheduler/batch/batcher.h"

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace rekindle::scheduler {

struct Sequence;

class TokenSampler {
public:
    TokenSampler(uint32_t vocabulary, const std::function<bool(runtime::TokenId)>& is_end)
        : vocabulary_(vocabulary), is_end_(is_end) {}

    // rows [planned][vocabulary] of prompt tokens that this step computed.
    void collect_prompt_logprobs(Sequence& sequence, std::span<const float* const> rows);
    // Samples the token after those that `sequence` has, and takes it off the lease.
    TokenEvent sample_next(Sequence& sequence, const float* logits);

private:
    std::span<const float> row(const float* logits) const { return {logits, vocabulary_}; }
    FinishReason finish_of(const Sequence& sequence, runtime::TokenId token) const;

    const uint32_t vocabulary_;
    const std::function<bool(runtime::TokenId)>& is_end_;
    runtime::Sampler sampler_;
};

}  // namespace rekindle::scheduler
