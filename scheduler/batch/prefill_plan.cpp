#include "scheduler/batch/prefill_plan.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace rekindle::scheduler {
namespace {

using runtime::kPageTokens;

// Rows of logits for prompt_logprobs in one step: 32 x 262,144 x 4 bytes are 32 MiB.
constexpr uint32_t kPromptLogitRowsMax = 32;

// True when `older` is computing the page that `prompt` needs next, and will share it.
bool computes_next_page(const Sequence& older, const Sequence& prompt) {
    const uint32_t page = prompt.kv->published();
    const bool waits_well = prompt.kv->length() == page * kPageTokens &&
                            (prompt.token_count() - 1) / kPageTokens > page &&
                            !prompt.wants_prompt_logprobs();
    // An older one that wants log-probabilities is slow: 32 tokens a step.
    if (!waits_well || older.kv->published() != page || older.wants_prompt_logprobs() ||
        older.token_count() / kPageTokens <= page || older.request.salt != prompt.request.salt) {
        return false;
    }
    if (page > 0 && older.kv->pages()[page - 1] != prompt.kv->pages()[page - 1]) {
        return false;
    }
    const auto text = [page](const Sequence& sequence) {
        return std::span(sequence.tokens).subspan(size_t{page} * kPageTokens, kPageTokens);
    };
    return std::ranges::equal(text(older), text(prompt));
}

// Those that gain nothing by waiting.
std::vector<Sequence*> ready_prompts(std::span<Sequence* const> prompts) {
    std::vector<Sequence*> ready;
    for (Sequence* prompt : prompts) {
        const bool waits = std::ranges::any_of(
            ready, [prompt](Sequence* older) { return computes_next_page(*older, *prompt); });
        if (!waits) {
            ready.push_back(prompt);
        }
    }
    return ready;
}

}  // namespace

void plan_prefill(std::span<Sequence* const> prompts, const PrefillLimits& limits) {
    std::vector<Sequence*> ready = limits.prefix_cache
                                       ? ready_prompts(prompts)
                                       : std::vector<Sequence*>(prompts.begin(), prompts.end());
    if (ready.empty()) {
        return;
    }
    uint32_t budget = limits.tokens;
    uint32_t logit_rows = kPromptLogitRowsMax;
    const auto give = [&](Sequence& prompt, uint32_t most) {
        uint32_t tokens = std::min({most, budget, prompt.pending() - prompt.planned});
        if (prompt.wants_prompt_logprobs()) {
            tokens = std::min(tokens, logit_rows);
            logit_rows -= tokens;
        }
        prompt.planned += tokens;
        budget -= tokens;
    };
    give(*ready.front(), budget - budget / 2);
    std::ranges::sort(ready, {}, [](const Sequence* prompt) {
        return std::pair(prompt->pending(), prompt->arrival);
    });
    for (Sequence* prompt : ready) {
        give(*prompt, budget);
    }
}

}  // namespace rekindle::scheduler
