#include "daemon/worker_answers.h"

#include "base/utf8.h"

#include <chrono>
#include <utility>

namespace rekindle::daemon {

void WorkerAnswers::begin(const SubmitFrame& submit, const std::vector<runtime::TokenId>& prompt) {
    Answer answer{.text = AnswerText(submit.stop),
                  .begun = clock_.monotonic(),
                  .want_logprobs = submit.want_logprobs,
                  .top_logprobs = submit.top_logprobs};
    if (submit.echo) {
        std::string bytes;
        for (const runtime::TokenId token : prompt) {
            bytes += tokenizer_.bytes_of(token);
        }
        answer.echo = sanitize_utf8(bytes);
    }
    answers_.insert_or_assign(submit.id, std::move(answer));
}

LogprobItem WorkerAnswers::logprob_of(runtime::TokenId token, float logprob) const {
    return LogprobItem{
        .bytes = std::string(tokenizer_.bytes_of(token)), .token = token, .logprob = logprob};
}

TokensFrame WorkerAnswers::frame_of(Answer& answer, const scheduler::TokenEvent& event) const {
    TokensFrame frame{.id = event.id, .sampled = 1};
    if (std::exchange(answer.first, false)) {
        const auto elapsed = clock_.monotonic() - answer.begun;
        frame.prefill_us = static_cast<uint32_t>(
            std::chrono::duration_cast<std::chrono::microseconds>(elapsed).count());
        frame.text = std::exchange(answer.echo, {});
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
        LogprobItem item = logprob_of(event.token, event.logprob);
        for (size_t i = 0; i < event.top.size() && i < answer.top_logprobs; ++i) {
            item.top.push_back(logprob_of(event.top[i].token, event.top[i].logprob));
        }
        frame.logprobs.push_back(std::move(item));
    }
    return frame;
}

std::vector<Frame> WorkerAnswers::frames_of(const std::vector<scheduler::TokenEvent>& events,
                                            std::vector<uint64_t>& cancelled) {
    std::vector<Frame> frames;
    frames.reserve(events.size());
    for (const scheduler::TokenEvent& event : events) {
        const auto found = answers_.find(event.id);
        if (found == answers_.end()) {
            continue;
        }
        TokensFrame frame = frame_of(found->second, event);
        if (frame.finish != Finish::kNone) {
            if (event.finish == scheduler::FinishReason::kNone) {
                cancelled.push_back(event.id);
            }
            answers_.erase(found);
        }
        frames.emplace_back(std::move(frame));
    }
    return frames;
}

}  // namespace rekindle::daemon
