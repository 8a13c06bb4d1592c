// From logits to a token. Random numbers are counter-based (seed, position), so a sequence's
// choices depend on nothing but its own logits, tokens, options and seed.
// Order: logit_bias, penalties, temperature, min_p, top_k, top_p, draw (vLLM's). Nothing sorts the
// vocabulary: maxima of blocks give a threshold, and what lies above is few.
// Threading: one thread at a time; the memory is reused, so that a token allocates nothing.
#pragma once
#include "kernels/kernel_table.h"
#include "runtime/token_counts.h"
#include "runtime/tokenizer/tokenizer.h"

#include <cstdint>
#include <span>
#include <vector>

namespace rekindle::runtime {

inline constexpr uint32_t kTopLogprobsMax = 20;

struct LogitBias {
    TokenId token = 0;
    float bias = 0;
};

struct SamplingOptions {
    float temperature = 1.0F;  // 0: the most likely token, ties to the lowest id.
    float top_p = 1.0F;        // (0, 1]
    uint32_t top_k = 0;        // 0: off.
    float min_p = 0.0F;        // [0, 1)
    uint64_t seed = 0;
    // Of tokens in prompt or answer: positive logits are divided by it, negative ones multiplied.
    float repetition_penalty = 1.0F;      // > 0; 1: off.
    float presence_penalty = 0.0F;        // Taken off tokens that were sampled.
    float frequency_penalty = 0.0F;       // Taken off once for each time that it was sampled.
    std::vector<LogitBias> logit_bias{};  // Added first; tokens outside of the vocabulary: ignored.

    bool has_penalties() const noexcept {
        return repetition_penalty != 1.0F || presence_penalty != 0.0F || frequency_penalty != 0.0F;
    }
};

struct LogprobEntry {
    TokenId token;
    float logprob;
};

class Sampler {
public:
    // With the kernels that this CPU runs best.
    Sampler();
    explicit Sampler(const kernels::KernelTable& kernels) : kernels_(&kernels) {}

    // logits [vocabulary]; `position` counts the sequence's tokens (prompt included), `seen` are
    // those tokens and is looked at only with penalties.
    TokenId sample(std::span<const float> logits, const SamplingOptions& options,
                   const TokenCounts& seen, uint64_t position);

    // log softmax(logits) of `chosen`, and the `count` (<= kTopLogprobsMax) most likely entries,
    // best first, ties to the lowest id. Of the model's own distribution: before bias, penalties
    // and temperature.
    float top_logprobs(std::span<const float> logits, TokenId chosen, uint32_t count,
                       std::vector<LogprobEntry>& top);

private:
    struct Candidate {
        float logit;
        TokenId token;
    };

    // How many of the best are looked at first, and at most.
    struct NucleusSearch {
        size_t count;
        size_t limit;
    };

    class Weight;

    static bool better(const Candidate& a, const Candidate& b) noexcept;

    std::span<const float> adjusted(std::span<const float> logits, const SamplingOptions& options,
                                    const TokenCounts& seen);
    bool find_best(std::span<const float> logits);
    double sum_weights(std::span<const float> logits, float scale);
    float maximum_at(size_t rank);
    void collect(std::span<const float> logits, float threshold);
    void collect_at_least(std::span<const float> logits, size_t count, float floor);
    bool collect_nucleus(std::span<const float> logits, const Weight& weight, double wanted,
                         NucleusSearch search);
    bool in_nucleus(std::span<const float> logits, TokenId token, const Weight& weight,
                    double wanted) const;
    void keep_best(size_t count);
    void keep_nucleus(const Weight& weight, double wanted);
    void drop_worse_than(Candidate last);
    void filter(std::span<const float> logits, const SamplingOptions& options,
                const Weight& weight);
    double candidates_weight(const Weight& weight) const;
    TokenId draw(const Weight& weight, double uniform);
    TokenId draw_from_sums(std::span<const float> logits, const Weight& weight, double rest) const;
    TokenId draw_from_nucleus(std::span<const float> logits, const SamplingOptions& options,
                              const Weight& weight, uint64_t position);

    const kernels::KernelTable* kernels_;
    Candidate best_{};
    std::vector<float> row_;             // [vocabulary] With bias and penalties.
    std::vector<float> maxima_;          // [blocks]
    std::vector<float> ranked_;          // [blocks] Maxima again, partly sorted.
    std::vector<float> sums_;            // [blocks]
    std::vector<Candidate> candidates_;  // By id.
    std::vector<Candidate> ordered_;     // The same, partly sorted.
    std::vector<float> weights_;         // Of candidates_.
};

}  // namespace rekindle::runtime
