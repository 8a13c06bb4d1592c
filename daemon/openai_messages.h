// The messages of a chat request, checked and turned into the variables that a chat template sees.
// Pure.
#pragma once
#include "base/json.h"
#include "daemon/openai_errors.h"

#include <cstdint>
#include <string>
#include <variant>

namespace rekindle::daemon {

struct ChatVariables {
    // {"messages":[{"role":…,"content":"…"}…],"add_generation_prompt":true}
    std::string json;
    uint64_t content_bytes = 0;
};

std::variant<ChatVariables, ApiError> read_messages(const json::value& messages);

}  // namespace rekindle::daemon
