// OpenAI's objects that more than one route gives: errors, models, usage.
#pragma once
#include "base/json.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace rekindle::daemon::api {

// {"error":{"message":…,"type":…,"param":…,"code":…}}; an empty param is null.
std::string error_object(std::string_view message, std::string_view type, std::string_view param,
                         std::string_view code);

struct Model {
    std::string id;
    int64_t created_unix_s = 0;
    uint32_t context = 0;  // Tokens; vLLM's name for it is max_model_len.
};

json::object to_json(const Model& model);

struct TokenUsage {
    uint32_t prompt = 0;
    uint32_t cached = 0;  // Part of prompt.
    uint32_t completion = 0;
};

// {"prompt_tokens":…,"completion_tokens":…,"total_tokens":…,"prompt_tokens_details":{…}}
std::string to_json_text(const TokenUsage& usage);

}  // namespace rekindle::daemon::api
