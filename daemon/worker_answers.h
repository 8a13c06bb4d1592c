// The answers that an engine thread is producing: maps what the batcher sampled to frames.
// Threading: the engine thread.
#pragma once
#include "base/clock.h"
#include "daemon/answer_text.h"
#include "daemon/frames.h"
#include "runtime/engine.h"
#include "runtime/tokenizer/tokenizer.h"
#include "scheduler/batch/batcher.h"

#include <cstdint>
#include <unordered_map>
#include <vector>

namespace rekindle::daemon {

class WorkerAnswers {
public:
    WorkerAnswers(const runtime::Tokenizer& tokenizer, const Clock& clock,
                  const runtime::Engine& engine)
        : tokenizer_(tokenizer), clock_(clock), engine_(engine) {}

    // A sequence was given to the batcher.
    void begin(const SubmitFrame& submit, const std::vector<runtime::TokenId>& prompt);
    void drop(uint64_t id) { answers_.erase(id); }
    bool has(uint64_t id) const { return answers_.contains(id); }

    // One step's events, those of a sequence side by side, become one frame per sequence in
    // `frames`. What a sequence sampled in the same step after the token that ended it is dropped.
    // Ids that ended by a stop string are appended to `cancelled`: the batcher does not know about
    // it yet.
    void add_frames(const std::vector<scheduler::TokenEvent>& events, std::vector<Frame>& frames,
                    std::vector<uint64_t>& cancelled);

private:
    struct Answer {
        AnswerText text;
        Nanoseconds begun{};
        Nanoseconds waited{};  // The engine's time on latches, then.
        bool first = true;
        bool want_logprobs = false;
        uint8_t top_logprobs = 0;
        std::string echo;
        runtime::TokenId first_prompt_token = 0;
    };

    // Adds one sampled token to the step's frame.
    void add(Answer& answer, const scheduler::TokenEvent& event, TokensFrame& frame) const;
    void begin_first_frame(Answer& answer, const scheduler::TokenEvent& event,
                           TokensFrame& frame) const;
    LogprobItem item_of(runtime::TokenId token, float logprob,
                        const std::vector<scheduler::TokenLogprob>& top, uint8_t top_count) const;
    // The prompt's own items, for echo with log-probabilities.
    void add_prompt_logprobs(const Answer& answer, const scheduler::TokenEvent& event,
                             TokensFrame& frame) const;

    const runtime::Tokenizer& tokenizer_;
    const Clock& clock_;
    const runtime::Engine& engine_;
    std::unordered_map<uint64_t, Answer> answers_;
};

}  // namespace rekindle::daemon
