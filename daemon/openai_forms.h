// The two forms of an answer, chat and completion, streamed and whole: exactly OpenAI's JSON. The
// parts that don't change are rendered once for a stream.
// Threading: one owner.
#pragma once
#include "daemon/api/openai_types.h"
#include "daemon/frames.h"
#include "daemon/openai_fields.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace rekindle::daemon {

struct AnswerFacts {
    std::string id_hex;  // Of the request: 32 digits.
    int64_t created_unix_s = 0;
    std::string model;
    std::string fingerprint;  // "rk_…"
    bool include_usage = false;
    bool want_logprobs = false;
};

// "stop" or "length".
std::string_view finish_reason(Finish finish) noexcept;

class AnswerForm {
public:
    static std::unique_ptr<AnswerForm> make(AnswerKind kind, const AnswerFacts& facts);
    virtual ~AnswerForm() = default;

    // ---- Streamed: events appended to `out` ----
    // Before the first text: who speaks, in chats.
    virtual void append_opening(std::string& out) const = 0;
    virtual void append_text(std::string& out, std::string_view text,
                             const std::vector<LogprobItem>& logprobs) = 0;
    virtual void append_finish(std::string& out, Finish finish) const = 0;
    // The event with no choices.
    virtual void append_usage(std::string& out, const api::TokenUsage& usage) const = 0;

    // ---- Whole ----
    virtual std::string whole(std::string_view text, const std::vector<LogprobItem>& logprobs,
                              Finish finish, const api::TokenUsage& usage) = 0;
};

}  // namespace rekindle::daemon
