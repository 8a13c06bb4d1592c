// From logits to a token. Random numbers are counter-based (seed, position), so a sequence's
// choices depend on nothing but its own logits, options and seed.
#pragma once
#include "runtime/tokenizer/tokenizer.h"

#include <cstdint>
#include <span>
#include <vector>

namespace rekindle::runtime {

struct SamplingOptions {
    float temperature = 1.0F;  // 0: the most likely token, ties to the lowest id.
    float top_p = 1.0F;        // (0, 1]
    uint32_t top_k = 0;        // 0: off.
    float min_p = 0.0F;        // [0, 1)
    uint64_t seed = 0;
};

// logits [vocabulary]; `position` counts the sequence's tokens (prompt included).
TokenId sample(std::span<const float> logits, const SamplingOptions& options, uint64_t position);

struct LogprobEntry {
    TokenId token;
    float logprob;
};

// log softmax(logits) of `chosen`, and the `count` (<= 20) most likely entries, best first, ties to
// the lowest id.
float top_logprobs(std::span<const float> logits, TokenId chosen, uint32_t count,
                   std::vector<LogprobEntry>& top);

}  // namespace rekindle::runtime
