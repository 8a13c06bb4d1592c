// Continuous batching on one engine thread: plan a step (which sequences, how many prompt tokens of
// each), run it, report what was sampled. New work joins and finished work leaves between steps.
// Invariant: a sequence's tokens do not depend on what else is in the batch.
// Threading: every member on the engine thread.
#pragma once
#include "base/clock.h"
#include "base/result.h"
#include "runtime/engine.h"
#include "runtime/prefix_index.h"
#include "runtime/sampler.h"
#include "scheduler/batch/speculation.h"
#include "scheduler/batch/step_budget.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace rekindle::scheduler {

using SequenceId = uint64_t;

struct SequenceRequest {
    SequenceId id = 0;
    std::vector<runtime::TokenId> prompt;  // Not empty; prompt + tokens_max <= context.
    uint32_t tokens_max = 0;               // Completion tokens at most.
    uint32_t lease = 0;                    // May sample this many before the next grant().
    runtime::SamplingOptions sampling;
    uint32_t top_logprobs = 0;  // 0..20
    bool want_logprobs = false;
    bool ignore_eos = false;
    bool prompt_logprobs = false;  // For echo with logprobs.
    runtime::PrefixSalt salt{};    // Pages are shared with sequences of the same salt.
};

struct TokenLogprob {
    runtime::TokenId token = 0;
    float logprob = 0;
};

enum class FinishReason : uint8_t { kNone, kStop /* end token */, kLength };

// A token of the prompt under prompt_logprobs.
struct PromptLogprob {
    runtime::TokenId token = 0;
    float logprob = 0;
    std::vector<TokenLogprob> top;  // Sorted, best first.
};

// One sampled token.
struct TokenEvent {
    SequenceId id = 0;
    runtime::TokenId token = 0;
    FinishReason finish = FinishReason::kNone;
    float logprob = 0;              // Set when want_logprobs.
    std::vector<TokenLogprob> top;  // Sorted, best first.
    // With prompt_logprobs, in a sequence's first event: the prompt's tokens from the second on
    // (the first has nothing before it).
    std::vector<PromptLogprob> prompt;
};

struct BatcherLimits {
    uint32_t sequences_max = 64;        // In the batch at once; more wait in order.
    uint32_t prefill_tokens_max = 512;  // Prompt tokens in one step, over all sequences.
    uint32_t queue_max = 1024;          // Waiting sequences.
    bool prefix_cache = true;           // Share pages of texts that begin alike.
    SpeculationMode speculation = SpeculationMode::kAuto;  // Never changes a token.
    // Keeps steps that sample within `step_time`; without it, prompts take all that they may.
    const Clock* clock = nullptr;
    Nanoseconds step_time = kStepTime;
    // Tokens that end an answer; empty: none does.
    std::function<bool(runtime::TokenId)> is_end = {};
};

// What one step computed.
struct StepWork {
    uint32_t sequences = 0;
    uint32_t tokens = 0;          // Of prompts and answers, guesses included.
    uint32_t drafts = 0;          // Sequences that computed guesses.
    uint32_t draft_tokens = 0;    // Guesses.
    uint32_t draft_accepted = 0;  // Of them, those that were right: tokens of answers.
    // Of the guesses and the right ones, those of the draft model.
    uint32_t model_tokens = 0;
    uint32_t model_accepted = 0;
    uint32_t model_rows = 0;   // Tokens that the draft model computed, of texts and of guesses.
    Nanoseconds model_time{};  // Of its steps.
};

class Batcher {
public:
    Batcher(runtime::Engine& engine, BatcherLimits limits);
    ~Batcher();

    // Guesses come from `draft`, too, from now on; it outlives the batcher. kInvalidArgument when
    // its vocabulary is of another size. Once.
    Result<void> attach_draft(runtime::Engine& draft);

    // kOverloaded when the queue is full; kTooLarge when the prompt can never fit.
    Result<void> submit(SequenceRequest request);
    // Lets the sequence sample `tokens` more. Unknown ids (already finished) are ignored.
    void grant(SequenceId id, uint32_t tokens);
    // Drops the sequence and frees its pages; no event follows. Unknown ids are ignored.
    void cancel(SequenceId id);
    // True when step() would compute something (a sequence out of lease does not count).
    bool runnable() const noexcept;
    bool empty() const noexcept;
    // Sequences that have no place in the batch yet.
    uint32_t waiting() const noexcept;
    // Of the last step().
    StepWork last_step() const noexcept;
    // Computes one step and appends what it sampled. kUnavailable when the image failed to load:
    // every sequence is then lost and the worker must end.
    Result<void> step(std::vector<TokenEvent>& events);

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace rekindle::scheduler
