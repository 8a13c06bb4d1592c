#include "runtime/sampler.h"

#include "base/check.h"
#include "base/random.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

namespace rekindle::runtime {
namespace {

constexpr uint32_t kTopLogprobsMax = 20;
// exp(-30) is 1e-13: below this distance from the best, whole vocabularies add nothing to a sum.
constexpr float kNegligible = 30.0F;
// What a log-probability that has no finite value is reported as (OpenAI's own convention).
constexpr float kLogprobMin = -9999.0F;
// Ids whose weights are summed as one, so that a draw walks over blocks first.
constexpr size_t kBlock = 1024;

struct Candidate {
    float logit;
    TokenId token;
};

// A total order, so that equal logits are never a matter of chance.
bool better(const Candidate& a, const Candidate& b) noexcept {
    return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}

TokenId to_token(size_t index) noexcept {
    return static_cast<TokenId>(index);
}

// The most likely token, ties to the lowest id. Not-a-numbers are passed over; nothing if no logit
// is above minus infinity.
std::optional<Candidate> find_best(std::span<const float> logits) noexcept {
    size_t best = logits.size();
    float best_logit = -std::numeric_limits<float>::infinity();
    for (size_t i = 0; i < logits.size(); ++i) {
        if (logits[i] > best_logit) {
            best_logit = logits[i];
            best = i;
        }
    }
    if (best == logits.size()) {
        return std::nullopt;
    }
    return Candidate{best_logit, to_token(best)};
}

// exp((logit - best) / temperature); 0 when negligible or not a number.
class Weight {
public:
    Weight(float best, float temperature) noexcept : best_(best), scale_(1.0F / temperature) {}

    float operator()(float logit) const noexcept {
        const float x = (logit - best_) * scale_;
        return x > -kNegligible ? std::exp(x) : 0.0F;
    }

private:
    float best_;
    float scale_;
};

double block_weight(std::span<const float> logits, size_t block, const Weight& weight) noexcept {
    const size_t end = std::min(logits.size(), (block + 1) * kBlock);
    double sum = 0;
    for (size_t i = block * kBlock; i < end; ++i) {
        sum += static_cast<double>(weight(logits[i]));
    }
    return sum;
}

// From the whole vocabulary: sums by block, then a walk inside the block that the draw fell into.
TokenId draw_from_all(std::span<const float> logits, const Weight& weight, Candidate best,
                      double uniform) {
    const size_t blocks = (logits.size() + kBlock - 1) / kBlock;
    std::vector<double> sums(blocks);
    double total = 0;
    for (size_t block = 0; block < blocks; ++block) {
        sums[block] = block_weight(logits, block, weight);
        total += sums[block];
    }
    double rest = uniform * total;
    size_t block = 0;
    while (block + 1 < blocks && rest >= sums[block]) {
        rest -= sums[block];
        ++block;
    }
    TokenId last = best.token;  // Rounding may leave a rest behind the last weight.
    const size_t end = std::min(logits.size(), (block + 1) * kBlock);
    for (size_t i = block * kBlock; i < end; ++i) {
        const auto w = static_cast<double>(weight(logits[i]));
        if (w == 0) {
            continue;
        }
        last = to_token(i);
        if (rest < w) {
            break;
        }
        rest -= w;
    }
    return last;
}

// Puts the best of `candidates` in order at the front, just as many as `top_p` needs, and drops the
// others. Sorted piece by piece: a nucleus is mostly a few dozen tokens.
void keep_nucleus(std::vector<Candidate>& candidates, const Weight& weight, float top_p) {
    constexpr size_t kFirstPiece = 64;
    double total = 0;
    for (const Candidate& candidate : candidates) {
        total += static_cast<double>(weight(candidate.logit));
    }
    const double wanted = static_cast<double>(top_p) * total;
    double sum = 0;
    size_t sorted = 0;
    for (size_t piece = kFirstPiece; sorted < candidates.size(); piece *= 4) {
        const size_t end = std::min(candidates.size(), sorted + piece);
        std::partial_sort(candidates.begin() + static_cast<ptrdiff_t>(sorted),
                          candidates.begin() + static_cast<ptrdiff_t>(end), candidates.end(),
                          better);
        for (; sorted < end; ++sorted) {
            sum += static_cast<double>(weight(candidates[sorted].logit));
            if (sum >= wanted) {
                candidates.resize(sorted + 1);
                return;
            }
        }
    }
}

// Tokens that survive min_p (relative to the best, after temperature), then top_k, then top_p of
// what is left: the order of Hugging Face and vLLM.
std::vector<Candidate> filter(std::span<const float> logits, const SamplingOptions& options,
                              const Weight& weight) {
    std::vector<Candidate> candidates;
    for (size_t i = 0; i < logits.size(); ++i) {
        const float w = weight(logits[i]);
        if (w > 0 && w >= options.min_p) {
            candidates.push_back({logits[i], to_token(i)});
        }
    }
    if (options.top_k > 0 && options.top_k < candidates.size()) {
        std::nth_element(candidates.begin(), candidates.begin() + options.top_k, candidates.end(),
                         better);
        candidates.resize(options.top_k);
    }
    if (options.top_p < 1.0F) {
        keep_nucleus(candidates, weight, options.top_p);
    } else {
        std::ranges::sort(candidates, better);  // The draw walks in an order of its own.
    }
    return candidates;
}

TokenId draw(std::span<const Candidate> candidates, const Weight& weight, double uniform) {
    double total = 0;
    for (const Candidate& candidate : candidates) {
        total += static_cast<double>(weight(candidate.logit));
    }
    double rest = uniform * total;
    for (const Candidate& candidate : candidates) {
        rest -= static_cast<double>(weight(candidate.logit));
        if (rest < 0) {
            return candidate.token;
        }
    }
    return candidates.back().token;
}

float finite_logprob(double logprob) noexcept {
    return std::isfinite(logprob) ? std::max(static_cast<float>(logprob), kLogprobMin)
                                  : kLogprobMin;
}

// The `count` best tokens, best first. Insertion into a short list: nearly every logit fails its
// first comparison.
size_t find_top(std::span<const float> logits, size_t count,
                std::array<Candidate, kTopLogprobsMax>& top) {
    size_t found = 0;
    for (size_t i = 0; i < logits.size() && count > 0; ++i) {
        const Candidate candidate{logits[i], to_token(i)};
        if (std::isnan(candidate.logit) || (found == count && !better(candidate, top[count - 1]))) {
            continue;
        }
        size_t at = found < count ? found++ : count - 1;
        for (; at > 0 && better(candidate, top[at - 1]); --at) {
            top[at] = top[at - 1];
        }
        top[at] = candidate;
    }
    return found;
}

}  // namespace

TokenId sample(std::span<const float> logits, const SamplingOptions& options, uint64_t position) {
    REKINDLE_CHECK(!logits.empty(), "a model has a vocabulary");
    const std::optional<Candidate> best = find_best(logits);
    if (!best) {
        return 0;
    }
    // A negative or not-a-number temperature is treated as 0; so is one that no float can divide
    // by.
    if (!(options.temperature >= std::numeric_limits<float>::min()) || std::isinf(best->logit)) {
        return best->token;
    }
    const Weight weight(best->logit, options.temperature);
    constexpr uint64_t kFirstChoice = 0;
    const double uniform = counter_uniform(options.seed, kFirstChoice, position);
    if (options.top_k == 0 && options.min_p <= 0 && options.top_p >= 1.0F) {
        return draw_from_all(logits, weight, *best, uniform);
    }
    const std::vector<Candidate> candidates = filter(logits, options, weight);
    return candidates.empty() ? best->token : draw(candidates, weight, uniform);
}

float top_logprobs(std::span<const float> logits, TokenId chosen, uint32_t count,
                   std::vector<LogprobEntry>& top) {
    top.clear();
    const std::optional<Candidate> best = find_best(logits);
    if (!best || std::isinf(best->logit)) {
        return kLogprobMin;
    }
    const Weight weight(best->logit, 1.0F);
    double sum = 0;
    for (size_t block = 0; block * kBlock < logits.size(); ++block) {
        sum += block_weight(logits, block, weight);
    }
    const double log_sum = std::log(sum) + static_cast<double>(best->logit);
    std::array<Candidate, kTopLogprobsMax> found{};
    const size_t wanted = std::min<size_t>(count, kTopLogprobsMax);
    const size_t found_count = find_top(logits, wanted, found);
    for (size_t i = 0; i < found_count; ++i) {
        top.push_back(
            {found[i].token, finite_logprob(static_cast<double>(found[i].logit) - log_sum)});
    }
    const auto index = static_cast<size_t>(chosen);
    REKINDLE_CHECK(chosen >= 0 && index < logits.size(), "the chosen token is in the vocabulary");
    return finite_logprob(static_cast<double>(logits[index]) - log_sum);
}

}  // namespace rekindle::runtime
