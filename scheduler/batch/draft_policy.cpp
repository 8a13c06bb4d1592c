#include "scheduler/batch/draft_policy.h"

#include <algorithm>
#include <cmath>

namespace rekindle::scheduler {
namespace {

// Of the time of the model's steps. Known to be of no use, the draft model costs 0.4 %: less than
// can be measured, and for a step of 5 ms a trial of 4 ms every 200 tokens.
constexpr double kShareUnknown = 1.0 / 16;
constexpr double kShareKnown = 1.0 / 256;
constexpr double kTrialsSavedMax = 2;

// Of a step with `depth` guesses, each right with `rate` where those before it are.
double expected_tokens(double rate, uint32_t depth) noexcept {
    double tokens = 1;
    double chance = 1;
    for (uint32_t i = 0; i < depth; ++i) {
        chance *= rate;
        tokens += chance;
    }
    return tokens;
}

}  // namespace

void HitRate::learn(bool hit, uint32_t memory) noexcept {
    seen_ = std::min(seen_ + 1, memory);
    rate_ += ((hit ? 1.0 : 0.0) - rate_) / seen_;
}

DepthChoice best_depth(const DepthQuestion& question, const DepthCosts& costs) {
    DepthChoice best{.gain = costs.gain_min};
    const double alone = costs.model.ns_of(question.rows);
    if (alone <= 0 || costs.draft.ns_of(1) <= 0) {
        return {};
    }
    for (uint32_t depth = 1; depth <= kModelDepthMax; ++depth) {
        double gain = 0;
        for (uint32_t count = 1; count <= question.rates.size(); ++count) {
            const uint32_t rows = question.rows + count * depth;
            if (rows > costs.rows_max) {
                break;
            }
            gain +=
                std::log(expected_tokens(question.rates[count - 1], depth)) / question.sequences;
            const double time = costs.model.ns_of(rows) + depth * costs.draft.ns_of(count);
            const double net = gain - std::log(time / alone);
            if (net > best.gain) {
                best = {.sequences = count, .depth = depth, .gain = net};
            }
        }
    }
    return best.sequences == 0 ? DepthChoice{} : best;
}

void TrialBudget::step(double ns, double trial_ns, bool known) noexcept {
    saved_ns_ += ns * (known ? kShareKnown : kShareUnknown);
    saved_ns_ = std::min(saved_ns_, kTrialsSavedMax * trial_ns);
}

}  // namespace rekindle::scheduler
