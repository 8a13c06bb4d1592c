#include "daemon/api/openai_types.h"

#include "daemon/api/json_text.h"

#include <fmt/format.h>

namespace rekindle::daemon::api {

std::string error_object(std::string_view message, std::string_view type, std::string_view param,
                         std::string_view code) {
    std::string out = R"({"error":{"message":)";
    append_json_string(out, message);
    out += R"(,"type":)";
    append_json_string(out, type);
    out += R"(,"param":)";
    if (param.empty()) {
        out += "null";
    } else {
        append_json_string(out, param);
    }
    out += R"(,"code":)";
    append_json_string(out, code);
    out += "}}";
    return out;
}

json::object to_json(const Model& model) {
    return {{"id", model.id},
            {"object", "model"},
            {"created", model.created_unix_s},
            {"owned_by", "rekindle"},
            {"max_model_len", model.context}};
}

std::string to_json_text(const TokenUsage& usage) {
    return fmt::format(R"({{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{},)"
                       R"("prompt_tokens_details":{{"cached_tokens":{}}}}})",
                       usage.prompt, usage.completion, uint64_t{usage.prompt} + usage.completion,
                       usage.cached);
}

}  // namespace rekindle::daemon::api
