#include "scheduler/batch/step_budget.h"

#include <algorithm>

namespace rekindle::scheduler {
namespace {

// Weight of the newest step: half of what is known comes from the last two or three.
constexpr double kNewest = 0.25;
// One step that was held up (another process, a page fault) counts for at most so many times what
// was expected of it.
constexpr double kSurpriseMax = 4;
// Before anything was measured.
constexpr uint32_t kFirstTokens = 32;

void learn(double& known, double sample) noexcept {
    if (known == 0) {
        known = sample;
    } else {
        known += kNewest * (std::min(sample, kSurpriseMax * known) - known);
    }
}

}  // namespace

uint32_t StepBudget::prompt_tokens(uint32_t decodes, uint32_t most) const noexcept {
    if (decodes == 0) {
        return most;
    }
    if (prompt_token_ns_ == 0) {
        return std::min(most, kFirstTokens);
    }
    const auto whole = static_cast<double>(step_time_.count());
    const double allowed = std::max(whole - decode_ns_, decode_ns_);
    const double tokens = std::clamp(allowed / prompt_token_ns_, 1.0, 1.0 * most);
    return static_cast<uint32_t>(tokens);
}

void StepBudget::measured(const StepMeasure& step) noexcept {
    if (step.drafts > 0) {
        return;  // Prompts are never computed beside guesses.
    }
    const auto time = static_cast<double>(step.time.count());
    if (step.prompt_tokens == 0) {
        learn(decode_ns_, time);
        return;
    }
    const double of_decodes = step.decodes == 0 ? 0 : decode_ns_;
    learn(prompt_token_ns_, std::max(0.0, time - of_decodes) / step.prompt_tokens);
}

}  // namespace rekindle::scheduler
