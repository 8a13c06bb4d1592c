#include "daemon/openai_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace rekindle::daemon {
namespace {

using Value = json::value;

bool is_string(const Value& value) {
    return value.is_string();
}

bool is_object(const Value& value) {
    return value.is_object();
}

bool is_bool(const Value& value) {
    return value.is_bool();
}

bool is_false(const Value& value) {
    return value.is_bool() && !value.get_bool();
}

bool is_one(const Value& value) {
    return (value.is_int64() && value.get_int64() == 1) ||
           (value.is_uint64() && value.get_uint64() == 1);
}

bool is_empty_string(const Value& value) {
    return value.is_string() && value.get_string().empty();
}

bool is_empty_list(const Value& value) {
    return value.is_array() && value.get_array().empty();
}

bool is_text_only(const Value& value) {
    return value.is_array() && value.get_array().size() == 1 && value.get_array()[0] == "text";
}

bool is_text_format(const Value& value) {
    const json::object* object = value.if_object();
    const Value* type = object == nullptr ? nullptr : object->if_contains("type");
    return type != nullptr && *type == "text";
}

bool is_no_tool(const Value& value) {
    return value == "none" || value == "auto";
}

bool is_default_tier(const Value& value) {
    return value == "auto" || value == "default";
}

bool is_medium(const Value& value) {
    return value == "medium";
}

bool is_none(const Value& value) {
    return value == "none";
}

bool is_nothing(const Value& /*value*/) {
    return false;
}

enum class Form : uint8_t { kChat = 1, kCompletion = 2, kBoth = 3 };

enum class Effect : uint8_t {
    kRead,     // Parsed elsewhere.
    kNone,     // Accepted; `accepts` is its type.
    kRefused,  // Only a value that `accepts` changes nothing.
};

struct KnownField {
    std::string_view name;
    Form form;
    Effect effect;
    bool (*accepts)(const Value&) = nullptr;
};

constexpr std::array kKnownFields{
    KnownField{"model", Form::kBoth, Effect::kRead},
    KnownField{"messages", Form::kChat, Effect::kRead},
    KnownField{"prompt", Form::kCompletion, Effect::kRead},
    KnownField{"stream", Form::kBoth, Effect::kRead},
    KnownField{"stream_options", Form::kBoth, Effect::kRead},
    KnownField{"stop", Form::kBoth, Effect::kRead},
    KnownField{"max_tokens", Form::kBoth, Effect::kRead},
    KnownField{"max_completion_tokens", Form::kChat, Effect::kRead},
    KnownField{"temperature", Form::kBoth, Effect::kRead},
    KnownField{"top_p", Form::kBoth, Effect::kRead},
    KnownField{"top_k", Form::kBoth, Effect::kRead},
    KnownField{"min_p", Form::kBoth, Effect::kRead},
    KnownField{"presence_penalty", Form::kBoth, Effect::kRead},
    KnownField{"frequency_penalty", Form::kBoth, Effect::kRead},
    KnownField{"repetition_penalty", Form::kBoth, Effect::kRead},
    KnownField{"logit_bias", Form::kBoth, Effect::kRead},
    KnownField{"seed", Form::kBoth, Effect::kRead},
    KnownField{"ignore_eos", Form::kBoth, Effect::kRead},
    KnownField{"logprobs", Form::kBoth, Effect::kRead},
    KnownField{"top_logprobs", Form::kChat, Effect::kRead},
    KnownField{"echo", Form::kCompletion, Effect::kRead},

    KnownField{"user", Form::kBoth, Effect::kNone, is_string},
    KnownField{"metadata", Form::kChat, Effect::kNone, is_object},
    KnownField{"safety_identifier", Form::kChat, Effect::kNone, is_string},
    KnownField{"prompt_cache_key", Form::kChat, Effect::kNone, is_string},
    KnownField{"prompt_cache_options", Form::kChat, Effect::kNone, is_object},
    KnownField{"prompt_cache_retention", Form::kChat, Effect::kNone, is_string},
    // A guess of the answer, for speed alone.
    KnownField{"prediction", Form::kChat, Effect::kNone, is_object},
    KnownField{"parallel_tool_calls", Form::kChat, Effect::kNone, is_bool},

    KnownField{"store", Form::kChat, Effect::kRefused, is_false},
    KnownField{"n", Form::kBoth, Effect::kRefused, is_one},
    KnownField{"best_of", Form::kCompletion, Effect::kRefused, is_one},
    KnownField{"suffix", Form::kCompletion, Effect::kRefused, is_empty_string},
    KnownField{"response_format", Form::kChat, Effect::kRefused, is_text_format},
    KnownField{"tools", Form::kChat, Effect::kRefused, is_empty_list},
    KnownField{"tool_choice", Form::kChat, Effect::kRefused, is_no_tool},
    KnownField{"functions", Form::kChat, Effect::kRefused, is_empty_list},
    KnownField{"function_call", Form::kChat, Effect::kRefused, is_no_tool},
    KnownField{"modalities", Form::kChat, Effect::kRefused, is_text_only},
    KnownField{"service_tier", Form::kChat, Effect::kRefused, is_default_tier},
    KnownField{"verbosity", Form::kChat, Effect::kRefused, is_medium},
    KnownField{"reasoning_effort", Form::kChat, Effect::kRefused, is_none},
    KnownField{"audio", Form::kChat, Effect::kRefused, is_nothing},
    KnownField{"moderation", Form::kChat, Effect::kRefused, is_nothing},
    KnownField{"web_search_options", Form::kChat, Effect::kRefused, is_nothing},
};

const KnownField* find_field(std::string_view name, AnswerKind kind) {
    const auto bit = kind == AnswerKind::kChat ? Form::kChat : Form::kCompletion;
    const auto* found = std::find_if(
        kKnownFields.begin(), kKnownFields.end(), [name, bit](const KnownField& field) {
            return field.name == name && (field.form == Form::kBoth || field.form == bit);
        });
    return found == kKnownFields.end() ? nullptr : found;
}

// n and best_of have values that others support, the rest is a feature that is not there.
bool is_about_value(std::string_view name) {
    return name == "n" || name == "best_of";
}

}  // namespace

std::optional<ApiError> check_known_fields(const json::object& body, AnswerKind kind) {
    for (const auto& [key, value] : body) {
        const KnownField* field = find_field(key, kind);
        if (field == nullptr) {
            return unknown_parameter(std::string(key));
        }
        if (value.is_null() || field->effect == Effect::kRead || field->accepts(value)) {
            continue;
        }
        std::string name(field->name);
        if (field->effect == Effect::kNone) {
            auto message = fmt::format("{}: is of the wrong type", name);
            return invalid_value(std::move(name), std::move(message));
        }
        if (is_about_value(name)) {
            auto message = fmt::format("{}: only 1 is supported", name);
            return unsupported_value(std::move(name), std::move(message));
        }
        auto message =
            fmt::format("{}: this value is not supported here: leave the field out", name);
        return unsupported_parameter(std::move(name), std::move(message));
    }
    return std::nullopt;
}

const json::value* FieldReader::present(std::string_view key) const {
    const json::value* value = object_.if_contains(key);
    return value == nullptr || value->is_null() ? nullptr : value;
}

std::optional<double> FieldReader::number(std::string_view key, double low, double high) {
    const json::value* value = present(key);
    if (value == nullptr) {
        return std::nullopt;
    }
    const double number = value->is_number() ? value->to_number<double>() : std::nan("");
    if (!(number >= low && number <= high)) {  // Also false for NaN.
        fail_value(key, fmt::format("a number from {} to {}", low, high));
        return std::nullopt;
    }
    return number;
}

std::optional<int64_t> FieldReader::integer(std::string_view key, int64_t low, int64_t high) {
    const json::value* value = present(key);
    if (value == nullptr) {
        return std::nullopt;
    }
    boost::system::error_code ec;
    const int64_t number = value->is_number() ? value->to_number<int64_t>(ec) : 0;
    if (!value->is_number() || ec || number < low || number > high) {
        fail_value(key, fmt::format("an integer from {} to {}", low, high));
        return std::nullopt;
    }
    return number;
}

std::optional<bool> FieldReader::boolean(std::string_view key) {
    const json::value* value = present(key);
    if (value == nullptr) {
        return std::nullopt;
    }
    if (!value->is_bool()) {
        fail_value(key, "true or false");
        return std::nullopt;
    }
    return value->get_bool();
}

std::optional<std::string> FieldReader::string(std::string_view key) {
    const json::value* value = present(key);
    if (value == nullptr) {
        return std::nullopt;
    }
    if (!value->is_string()) {
        fail_value(key, "a string");
        return std::nullopt;
    }
    return std::string(value->get_string());
}

void FieldReader::fail(ApiError error) {
    if (!error_) {
        error_ = std::move(error);
    }
}

void FieldReader::fail_value(std::string_view key, std::string_view wanted) {
    fail(invalid_value(std::string(key), fmt::format("{}: must be {}", key, wanted)));
}

}  // namespace rekindle::daemon
