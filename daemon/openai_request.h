// Bodies of /v1/chat/completions and /v1/completions, checked field by field and turned into what a
// worker is sent. Pure: untrusted text in, a request or the exact complaint out.
#pragma once
#include "daemon/frames.h"
#include "daemon/node.h"
#include "daemon/openai_errors.h"
#include "daemon/openai_fields.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

namespace rekindle::daemon {

inline constexpr size_t kStopStringsMax = 16;
inline constexpr size_t kStopBytesMax = 256;
inline constexpr size_t kModelNameBytesMax = 256;
// OpenAI's default of /v1/completions.
inline constexpr uint32_t kCompletionTokensDefault = 16;

struct AnswerRequest {
    AnswerKind kind = AnswerKind::kChat;
    std::string model;
    SubmitFrame submit;         // Without its id.
    uint64_t prompt_bytes = 0;  // Of text; 0 for a prompt of token ids.
    bool stream = false;
    bool include_usage = false;
};

// `random_seed` is used when the body names none. `rules` of the model that the body names are
// applied to it; null: there are none.
std::variant<AnswerRequest, ApiError> parse_answer_request(std::string_view body, AnswerKind kind,
                                                           uint64_t random_seed,
                                                           const RequestRuleBook* rules = nullptr);

}  // namespace rekindle::daemon
