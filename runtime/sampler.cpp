#include "runtime/sampler.h"

#include "base/check.h"
#include "base/random.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>

namespace rekindle::runtime {
namespace {

using kernels::kNegligibleWeight;
using kernels::kSelectBlock;

// What a log-probability that has no finite value is reported as (OpenAI's own convention).
constexpr float kLogprobMin = -9999.0F;
// A nucleus is mostly a few dozen tokens: the first guess. From more than the second on it is not
// collected: tokens are drawn from all until one lies inside, which it does with the chance top_p.
constexpr size_t kNucleusGuess = 64;
constexpr size_t kNucleusCollected = 1024;
constexpr uint64_t kDrawsMax = 8;  // Then it is collected after all, so that a small top_p ends.
// No model's logits differ by as much; what lies further down is taken in one go.
constexpr float kReachMax = 1024;

TokenId to_token(size_t index) noexcept {
    return static_cast<TokenId>(index);
}

size_t blocks_of(std::span<const float> logits) noexcept {
    return (logits.size() + kSelectBlock - 1) / kSelectBlock;
}

std::span<const float> block_of(std::span<const float> logits, size_t block) noexcept {
    const size_t first = block * kSelectBlock;
    return logits.subspan(first, std::min<size_t>(kSelectBlock, logits.size() - first));
}

float finite_logprob(double logprob) noexcept {
    return std::isfinite(logprob) ? std::max(static_cast<float>(logprob), kLogprobMin)
                                  : kLogprobMin;
}

// The largest maxima of blocks among which `count` logits and a few more probably lie, if the best
// logits are spread by chance: of n blocks, each of m such logits misses one with the chance
// 1 - 1 / n.
size_t likely_rank(size_t count, size_t blocks) noexcept {
    constexpr double kMore = 1.2;
    const auto n = static_cast<double>(blocks);
    const double rank = n * -std::expm1(-kMore * static_cast<double>(count) / n);
    return std::clamp<size_t>(static_cast<size_t>(rank), 1, count);
}

const kernels::KernelTable& default_kernels() {
    const kernels::KernelTable* table = kernels::select_kernel_table();
    return table != nullptr ? *table : *kernels::find_kernel_table("scalar");
}

}  // namespace

// exp((logit - best) / temperature); 0 when negligible or not a number.
class Sampler::Weight {
public:
    Weight(float best, float temperature) noexcept
        : best_(best),
          temperature_(temperature),
          scale_(std::max(1.0F / temperature, kernels::kWeightScaleMin)) {}

    float operator()(float logit) const noexcept {
        const float x = (logit - best_) * scale_;
        return x > -kNegligibleWeight ? std::exp(x) : 0.0F;
    }

    bool negligible(float logit) const noexcept {
        return !((logit - best_) * scale_ > -kNegligibleWeight);
    }

    float scale() const noexcept { return scale_; }

    // Logits below have no weight, or one below `min_weight`; some that lie above may as well.
    float floor(float min_weight) const noexcept {
        constexpr float kMargin = 0.01F;  // For the rounding of log, exp and the products.
        const float distance = min_weight > 0
                                   ? std::min(kNegligibleWeight, kMargin - std::log(min_weight))
                                   : kNegligibleWeight;
        return best_ - (distance + kMargin) * temperature_;
    }

private:
    float best_;
    float temperature_;
    float scale_;
};

Sampler::Sampler() : Sampler(default_kernels()) {}

// A total order, so that equal logits are never a matter of chance.
bool Sampler::better(const Candidate& a, const Candidate& b) noexcept {
    return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}

// The row with bias and penalties, if there are any.
std::span<const float> Sampler::adjusted(std::span<const float> logits,
                                         const SamplingOptions& options, const TokenCounts& seen) {
    if (options.logit_bias.empty() && !options.has_penalties()) {
        return logits;
    }
    row_.assign(logits.begin(), logits.end());
    for (const LogitBias& entry : options.logit_bias) {
        if (entry.token >= 0 && static_cast<size_t>(entry.token) < row_.size()) {
            row_[static_cast<size_t>(entry.token)] += entry.bias;
        }
    }
    if (!options.has_penalties()) {
        return row_;
    }
    const float factor = options.repetition_penalty;
    for (const TokenCounts::Entry& entry : seen.entries()) {
        float& logit = row_[static_cast<size_t>(entry.token)];
        logit = logit > 0 ? logit / factor : logit * factor;
        if (entry.sampled > 0) {
            logit -= options.presence_penalty +
                     options.frequency_penalty * static_cast<float>(entry.sampled);
        }
    }
    return row_;
}

// Fills maxima_ and best_, the most likely token, ties to the lowest id. Not-a-numbers are passed
// over; false if no logit is above minus infinity.
bool Sampler::find_best(std::span<const float> logits) {
    maxima_.resize(blocks_of(logits));
    kernels_->block_maxima(logits.data(), static_cast<uint32_t>(logits.size()), maxima_.data());
    const auto best = std::max_element(maxima_.begin(), maxima_.end());
    if (*best == -std::numeric_limits<float>::infinity()) {
        return false;
    }
    const auto block = static_cast<size_t>(best - maxima_.begin());
    const std::span<const float> own = block_of(logits, block);
    const auto found = std::find(own.begin(), own.end(), *best);
    best_ = {*best, to_token(block * kSelectBlock + static_cast<size_t>(found - own.begin()))};
    return true;
}

// Fills sums_ and gives their sum. After find_best.
double Sampler::sum_weights(std::span<const float> logits, float scale) {
    sums_.resize(blocks_of(logits));
    kernels_->block_exp_sums(logits.data(), static_cast<uint32_t>(logits.size()), best_.logit,
                             scale, sums_.data());
    double total = 0;
    for (const float sum : sums_) {
        total += static_cast<double>(sum);
    }
    return total;
}

// So many logits at least are no less than this: the rank-th largest maximum of a block (from 1),
// or the least of them when there are fewer blocks.
float Sampler::maximum_at(size_t rank) {
    ranked_.assign(maxima_.begin(), maxima_.end());
    const auto at =
        ranked_.begin() + static_cast<std::ptrdiff_t>(std::min(rank, ranked_.size()) - 1);
    std::nth_element(ranked_.begin(), at, ranked_.end(), std::greater<>());
    return *at;
}

// candidates_ = logits >= threshold, by id. Most blocks have none and are not read.
void Sampler::collect(std::span<const float> logits, float threshold) {
    std::array<uint32_t, kSelectBlock> places;
    candidates_.clear();
    for (size_t block = 0; block < maxima_.size(); ++block) {
        if (!(maxima_[block] >= threshold)) {
            continue;
        }
        const std::span<const float> own = block_of(logits, block);
        const uint32_t found = kernels_->collect_above(
            own.data(), static_cast<uint32_t>(own.size()), threshold, places.data());
        for (uint32_t i = 0; i < found; ++i) {
            candidates_.push_back({own[places[i]], to_token(block * kSelectBlock + places[i])});
        }
    }
}

// The `count` best are among candidates_, or all from `floor` on when those are fewer.
void Sampler::collect_at_least(std::span<const float> logits, size_t count, float floor) {
    float threshold = std::max(floor, maximum_at(likely_rank(count, maxima_.size())));
    collect(logits, threshold);
    if (candidates_.size() < count && count <= maxima_.size()) {
        threshold = std::max(floor, maximum_at(count));
        collect(logits, threshold);
    }
    float step = candidates_.size() >= count / 2 ? 0.05F : 0.25F;
    while (candidates_.size() < count && threshold > floor) {
        // More tokens than blocks are wanted: reach further and further down from the best.
        const float distance = std::max(best_.logit - threshold, 0x1p-10F) * (1 + step);
        threshold = distance < kReachMax ? std::max(floor, best_.logit - distance) : floor;
        collect(logits, threshold);
        step *= 2;
    }
}

double Sampler::candidates_weight(const Weight& weight) const {
    double total = 0;
    for (const Candidate& candidate : candidates_) {
        total += static_cast<double>(weight(candidate.logit));
    }
    return total;
}

// Drops all but the `count` best.
void Sampler::keep_best(size_t count) {
    if (count >= candidates_.size()) {
        return;
    }
    ordered_.assign(candidates_.begin(), candidates_.end());
    const auto last = ordered_.begin() + static_cast<std::ptrdiff_t>(count - 1);
    std::nth_element(ordered_.begin(), last, ordered_.end(), better);
    drop_worse_than(*last);
}

// Drops all but the fewest best whose weights reach `wanted`. Nothing is sorted but the last few:
// of two halves only the one is looked at again in which the sum gets there.
void Sampler::keep_nucleus(const Weight& weight, double wanted) {
    constexpr std::ptrdiff_t kSorted = 32;
    ordered_.assign(candidates_.begin(), candidates_.end());
    auto begin = ordered_.begin();
    auto end = ordered_.end();
    double sum = 0;  // Of what is better than all from `begin` on.
    while (end - begin > kSorted) {
        const auto middle = begin + (end - begin) / 2;
        std::nth_element(begin, middle, end, better);
        double upper = 0;
        for (auto it = begin; it != middle; ++it) {
            upper += static_cast<double>(weight(it->logit));
        }
        if (sum + upper >= wanted) {
            end = middle;
        } else {
            sum += upper;
            begin = middle;
        }
    }
    std::sort(begin, end, better);
    for (; begin != end; ++begin) {
        sum += static_cast<double>(weight(begin->logit));
        if (sum >= wanted) {
            drop_worse_than(*begin);
            return;
        }
    }
}

void Sampler::drop_worse_than(Candidate last) {
    std::erase_if(candidates_, [last](const Candidate& other) { return better(last, other); });
}

// candidates_ = the fewest best whose weights reach `wanted`, looked for among the `count` best and
// then further down, as far as `limit` of them. False if there are more.
bool Sampler::collect_nucleus(std::span<const float> logits, const Weight& weight, double wanted,
                              NucleusSearch search) {
    const float floor = weight.floor(0);
    size_t count = search.count;
    collect_at_least(logits, count, floor);
    while (candidates_.size() >= count && candidates_weight(weight) < wanted) {
        if (count >= search.limit) {
            return false;
        }
        count = std::min(std::max(candidates_.size() * 4, count + 1), search.limit);
        collect_at_least(logits, count, floor);
    }
    keep_nucleus(weight, wanted);
    return candidates_.size() <= search.limit;
}

// Whether all that is better than `token` weighs less than `wanted`.
bool Sampler::in_nucleus(std::span<const float> logits, TokenId token, const Weight& weight,
                         double wanted) const {
    const auto index = static_cast<size_t>(token);
    const float logit = logits[index];
    const double better = kernels_->exp_sum_above({.x = logits.data(),
                                                   .maxima = maxima_.data(),
                                                   .n = static_cast<uint32_t>(logits.size()),
                                                   .best = best_.logit,
                                                   .scale = weight.scale()},
                                                  logit);
    const auto own = static_cast<double>(weight(logit));
    if (better >= wanted || better + own * static_cast<double>(index) < wanted) {
        return better < wanted;
    }
    const auto ties = std::count(logits.begin(), logits.begin() + token, logit);
    return better + own * static_cast<double>(ties) < wanted;
}

// top_p alone. A wide nucleus is not looked for: what is drawn from all and taken only if it lies
// inside has the same distribution.
TokenId Sampler::draw_from_nucleus(std::span<const float> logits, const SamplingOptions& options,
                                   const Weight& weight, uint64_t position) {
    const double total = sum_weights(logits, weight.scale());
    const double wanted = static_cast<double>(options.top_p) * total;
    const bool narrow = collect_nucleus(logits, weight, wanted,
                                        {.count = kNucleusGuess, .limit = kNucleusCollected});
    uint64_t choice = 0;
    for (; !narrow && choice < kDrawsMax; ++choice) {
        const double uniform = counter_uniform(options.seed, choice, position);
        const TokenId token = draw_from_sums(logits, weight, uniform * total);
        if (in_nucleus(logits, token, weight, wanted)) {
            return token;
        }
    }
    if (!narrow) {
        collect_nucleus(logits, weight, wanted,
                        {.count = kNucleusCollected * 4, .limit = logits.size()});
    }
    return candidates_.empty() ? best_.token
                               : draw(weight, counter_uniform(options.seed, choice, position));
}

// candidates_ = the tokens that survive min_p (relative to the best, after temperature), then
// top_k, then top_p of what is left: the order of Hugging Face and vLLM. By id.
void Sampler::filter(std::span<const float> logits, const SamplingOptions& options,
                     const Weight& weight) {
    const float floor = weight.floor(options.min_p);
    if (options.top_k > 0 && options.top_k < logits.size()) {
        collect_at_least(logits, options.top_k, floor);
        keep_best(options.top_k);
    } else {
        collect(logits, floor);
    }
    std::erase_if(candidates_, [&](const Candidate& candidate) {
        return weight.negligible(candidate.logit) ||
               (options.min_p > 0 && weight(candidate.logit) < options.min_p);
    });
    if (options.top_p < 1.0F) {
        keep_nucleus(weight, static_cast<double>(options.top_p) * candidates_weight(weight));
    }
}

TokenId Sampler::draw(const Weight& weight, double uniform) {
    weights_.clear();
    double total = 0;
    for (const Candidate& candidate : candidates_) {
        weights_.push_back(weight(candidate.logit));
        total += static_cast<double>(weights_.back());
    }
    double rest = uniform * total;
    for (size_t i = 0; i < candidates_.size(); ++i) {
        rest -= static_cast<double>(weights_[i]);
        if (rest < 0) {
            return candidates_[i].token;
        }
    }
    return candidates_.back().token;
}

// From the whole vocabulary, after sum_weights: a walk over the blocks, then inside the one in
// which `rest` is used up.
TokenId Sampler::draw_from_sums(std::span<const float> logits, const Weight& weight,
                                double rest) const {
    size_t block = 0;
    while (block + 1 < sums_.size() && rest >= static_cast<double>(sums_[block])) {
        rest -= static_cast<double>(sums_[block]);
        ++block;
    }
    TokenId last = best_.token;  // Rounding may leave a rest behind the last weight.
    const std::span<const float> own = block_of(logits, block);
    for (size_t i = 0; i < own.size(); ++i) {
        const auto w = static_cast<double>(weight(own[i]));
        if (w == 0) {
            continue;
        }
        last = to_token(block * kSelectBlock + i);
        if (rest < w) {
            break;
        }
        rest -= w;
    }
    return last;
}

TokenId Sampler::sample(std::span<const float> logits, const SamplingOptions& options,
                        const TokenCounts& seen, uint64_t position) {
    REKINDLE_CHECK(!logits.empty(), "a model has a vocabulary");
    const std::span<const float> row = adjusted(logits, options, seen);
    if (!find_best(row)) {
        return 0;
    }
    // A negative or not-a-number temperature is treated as 0; so is one that no float can divide
    // by.
    if (!(options.temperature >= std::numeric_limits<float>::min()) || std::isinf(best_.logit)) {
        return best_.token;
    }
    const Weight weight(best_.logit, options.temperature);
    constexpr uint64_t kFirstChoice = 0;
    const double uniform = counter_uniform(options.seed, kFirstChoice, position);
    if (options.top_k == 0 && !(options.min_p > 0)) {
        return options.top_p < 1.0F
                   ? draw_from_nucleus(row, options, weight, position)
                   : draw_from_sums(row, weight, uniform * sum_weights(row, weight.scale()));
    }
    filter(row, options, weight);
    return candidates_.empty() ? best_.token : draw(weight, uniform);
}

float Sampler::top_logprobs(std::span<const float> logits, TokenId chosen, uint32_t count,
                            std::vector<LogprobEntry>& top) {
    top.clear();
    const auto index = static_cast<size_t>(chosen);
    REKINDLE_CHECK(chosen >= 0 && index < logits.size(), "the chosen token is in the vocabulary");
    if (!find_best(logits) || std::isinf(best_.logit)) {
        return kLogprobMin;
    }
    const double log_sum = std::log(sum_weights(logits, 1.0F)) + static_cast<double>(best_.logit);
    const size_t wanted = std::min<size_t>({count, kTopLogprobsMax, logits.size()});
    if (wanted > 0) {
        collect_at_least(logits, wanted, -std::numeric_limits<float>::infinity());
        const size_t found = std::min(wanted, candidates_.size());
        std::partial_sort(candidates_.begin(),
                          candidates_.begin() + static_cast<std::ptrdiff_t>(found),
                          candidates_.end(), better);
        for (size_t i = 0; i < found; ++i) {
            top.push_back({candidates_[i].token,
                           finite_logprob(static_cast<double>(candidates_[i].logit) - log_sum)});
        }
    }
    return finite_logprob(static_cast<double>(logits[index]) - log_sum);
}

}  // namespace rekindle::runtime
