#include "scheduler/batch/token_sampler.h"

#include "scheduler/batch/sequence.h"

#include <utility>

namespace rekindle::scheduler {
namespace {

using runtime::TokenId;

std::vector<TokenLogprob> to_token_logprobs(const std::vector<runtime::LogprobEntry>& entries) {
    std::vector<TokenLogprob> out;
    out.reserve(entries.size());
    for (const auto& entry : entries) {
        out.push_back({entry.token, entry.logprob});
    }
    return out;
}

}  // namespace

// Row r is of position length - planned + r, and predicts the token after it.
void TokenSampler::collect_prompt_logprobs(Sequence& sequence, std::span<const float* const> rows) {
    const uint32_t first = sequence.kv->length() - sequence.planned;
    std::vector<runtime::LogprobEntry> top;
    for (uint32_t r = 0; r < rows.size() && sequence.wants_prompt_logprobs(); ++r) {
        const uint32_t predicted = first + r + 1;
        if (predicted != sequence.prompt_logprobs.size() + 1) {
            continue;  // Collected before a preemption.
        }
        const TokenId token = sequence.tokens[predicted];
        const float logprob =
            sampler_.top_logprobs(row(rows[r]), token, sequence.request.top_logprobs, top);
        sequence.prompt_logprobs.push_back({token, logprob, to_token_logprobs(top)});
    }
}

TokenEvent TokenSampler::sample_next(Sequence& sequence, const float* logits) {
    const SequenceRequest& request = sequence.request;
    TokenEvent event{.id = request.id};
    event.token =
        sampler_.sample(row(logits), request.sampling, sequence.seen, sequence.tokens.size());
    if (request.want_logprobs) {
        std::vector<runtime::LogprobEntry> top;
        event.logprob = sampler_.top_logprobs(row(logits), event.token, request.top_logprobs, top);
        event.top = to_token_logprobs(top);
    }
    if (sequence.sampled() == 0) {
        event.prompt = std::move(sequence.prompt_logprobs);
        sequence.request.prompt_logprobs = false;
    }
    sequence.tokens.push_back(event.token);
    if (request.sampling.has_penalties()) {
        sequence.seen.add_sampled(event.token);
    }
    --sequence.lease;
    event.finish = finish_of(sequence, event.token);
    return event;
}

FinishReason TokenSampler::finish_of(const Sequence& sequence, TokenId token) const {
    if (!sequence.request.ignore_eos && is_end_ && is_end_(token)) {
        return FinishReason::kStop;
    }
    const bool full = sequence.sampled() >= sequence.request.tokens_max;
    return full ? FinishReason::kLength : FinishReason::kNone;
}

}  // namespace rekindle::scheduler
