#include "daemon/worker_answers.h"

#include "base/utf8.h"

#include <chrono>
#include <limits>
#include <utility>

namespace rekindle::daemon {

void WorkerAnswers::begin(const SubmitFrame& submit, const std::vector<runtime::TokenId>& prompt) {
    Answer answer{.text = AnswerText(submit.stop),
                  .begun = clock_.monotonic(),
                  .waited = engine_.waited(),
                  .want_logprobs = submit.want_logprobs,
                  .top_logprobs = submit.top_logprobs};
    if (submit.echo) {
        std::string bytes;
        for (const runtime::TokenId token : prompt) {
            bytes += tokenizer_.bytes_of(token);
        }
        answer.echo = sanitize_utf8(bytes);
        answer.first_prompt_token = prompt.front();
    }
    answers_.insert_or_assign(submit.id, std::move(answer));
}

LogprobItem WorkerAnswers::item_of(runtime::TokenId token, float logprob,
                                   const std::vector<scheduler::TokenLogprob>& top,
                                   uint8_t top_count) const {
    const auto plain = [this](runtime::TokenId id, float value) {
        return LogprobItem{
            .bytes = std::string(tokenizer_.bytes_of(id)), .token = id, .logprob = value};
    };
    LogprobItem item = plain(token, logprob);
    for (size_t i = 0; i < top.size() && i < top_count; ++i) {
        item.top.push_back(plain(top[i].token, top[i].logprob));
    }
    return item;
}

void WorkerAnswers::add_prompt_logprobs(const Answer& answer, const scheduler::TokenEvent& event,
                                        TokensFrame& frame) const {
    constexpr float kNone = std::numeric_limits<float>::quiet_NaN();
    frame.logprobs.push_back(item_of(answer.first_prompt_token, kNone, {}, 0));
    for (const scheduler::PromptLogprob& token : event.prompt) {
        frame.logprobs.push_back(
            item_of(token.token, token.logprob, token.top, answer.top_logprobs));
    }
}

void WorkerAnswers::begin_first_frame(Answer& answer, const scheduler::TokenEvent& event,
                                      TokensFrame& frame) const {
    const auto microseconds = [](Nanoseconds time) {
        return static_cast<uint32_t>(
            std::chrono::duration_cast<std::chrono::microseconds>(time).count());
    };
    frame.prefill_us = microseconds(clock_.monotonic() - answer.begun);
    frame.wait_us = microseconds(engine_.waited() - answer.waited);
    if (answer.want_logprobs && !answer.echo.empty()) {
        add_prompt_logprobs(answer, event, frame);
    }
    frame.text = std::exchange(answer.echo, {});
}

void WorkerAnswers::add(Answer& answer, const scheduler::TokenEvent& event,
                        TokensFrame& frame) const {
    ++frame.sampled;
    if (std::exchange(answer.first, false)) {
        begin_first_frame(answer, event, frame);
    }
    // The token that ends an answer has no text of its own.
    const bool ends = event.finish == scheduler::FinishReason::kStop;
    frame.text += answer.text.append(ends ? std::string_view{} : tokenizer_.bytes_of(event.token));
    frame.matched_stop = answer.text.matched();
    if (!frame.matched_stop.empty() || ends) {
        frame.finish = Finish::kStop;
    } else if (event.finish == scheduler::FinishReason::kLength) {
        frame.finish = Finish::kLength;
    }
    if (frame.finish != Finish::kNone && frame.matched_stop.empty()) {
        frame.text += answer.text.flush();
    }
    if (answer.want_logprobs && !ends) {
        frame.logprobs.push_back(
            item_of(event.token, event.logprob, event.top, answer.top_logprobs));
    }
}

void WorkerAnswers::add_frames(const std::vector<scheduler::TokenEvent>& events,
                               std::vector<Frame>& frames, std::vector<uint64_t>& cancelled) {
    TokensFrame* frame = nullptr;  // Of the last event's sequence.
    frames.reserve(frames.size() + events.size());
    for (const scheduler::TokenEvent& event : events) {
        const auto found = answers_.find(event.id);
        if (found == answers_.end()) {
            continue;
        }
        if (frame == nullptr || frame->id != event.id) {
            frame = &std::get<TokensFrame>(frames.emplace_back(TokensFrame{.id = event.id}));
        }
        add(found->second, event, *frame);
        if (frame->finish != Finish::kNone) {
            if (event.finish == scheduler::FinishReason::kNone) {
                cancelled.push_back(event.id);
            }
            answers_.erase(found);
        }
    }
}

}  // namespace rekindle::daemon
