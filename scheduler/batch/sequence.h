// One sequence of the batch: its request, all its tokens so far, and how many of them are in the KV
// cache. Prompt, sampled tokens and tokens to be computed again after a preemption are one thing:
// what follows kv->length() is still to be computed, and then the next token is sampled.
// Threading: the engine thread.
#pragma once
#include "runtime/kv_pages.h"
#include "runtime/token_counts.h"
#include "scheduler/batch/batcher.h"
#include "scheduler/batch/speculation.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

namespace rekindle::scheduler {

struct Sequence {
    SequenceRequest request;
    uint64_t arrival = 0;                  // Order of submission; older ones go first.
    uint32_t lease = 0;                    // Tokens that it may still sample.
    std::vector<runtime::TokenId> tokens;  // Prompt, then what was sampled.
    runtime::TokenCounts seen;             // Of the tokens above, when penalties need them.
    std::unique_ptr<runtime::KvSequence> kv;
    std::vector<PromptLogprob> prompt_logprobs;  // Collected so far: of tokens 1, 2, …
    uint32_t planned = 0;                        // Tokens of this step, guesses included.
    std::unique_ptr<Draft> draft;                // Once it was guessed for.

    uint32_t prompt_tokens() const noexcept { return static_cast<uint32_t>(request.prompt.size()); }

    uint32_t token_count() const noexcept { return static_cast<uint32_t>(tokens.size()); }

    uint32_t sampled() const noexcept { return token_count() - prompt_tokens(); }

    uint32_t pending() const noexcept { return token_count() - kv->length(); }

    // Guesses among the planned tokens: they are not in `tokens`.
    uint32_t drafts() const noexcept { return draft == nullptr ? 0 : draft->taken; }

    // As many as it may still sample beside the token that comes anyway.
    uint32_t guesses_max() const noexcept {
        const uint32_t left = request.tokens_max - sampled();
        return std::min({kDraftTokensMax, lease - 1, left - 1});
    }

    // The last sampled token is never computed, so it needs no position.
    uint32_t positions_max() const noexcept { return prompt_tokens() + request.tokens_max - 1; }

    runtime::SaltedText text() const noexcept { return {request.salt, tokens}; }

    bool wants_prompt_logprobs() const noexcept {
        return request.prompt_logprobs && prompt_logprobs.size() + 1 < request.prompt.size();
    }
};

}  // namespace rekindle::scheduler
