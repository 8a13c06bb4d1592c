#include "daemon/openai_messages.h"

#include "daemon/openai_fields.h"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

namespace rekindle::daemon {
namespace {

constexpr std::array<std::string_view, 5> kRoles{"system", "developer", "user", "assistant",
                                                 "tool"};
// Strings that templates may look at; handed over as they are.
constexpr std::array<std::string_view, 3> kPassedOn{"name", "tool_call_id", "reasoning_content"};

bool contains(const auto& list, std::string_view key) {
    return std::find(list.begin(), list.end(), key) != list.end();
}

// What clients send back from an earlier answer without meaning anything by it.
bool is_nothing(const json::value& value) {
    return value.is_null() || (value.is_array() && value.get_array().empty());
}

class MessageReader {
public:
    MessageReader(const json::object& message, size_t index)
        : message_(message), fields_(message), at_(fmt::format("messages[{}]", index)) {}

    // The message for the template; empty after a fault.
    json::object read() {
        const std::string role = read_role();
        json::object out;
        out["role"] = role == "developer" ? "system" : role;  // Templates know "system" alone.
        out["content"] = read_content(role);
        for (const auto& [key, value] : message_) {
            if (key == "role" || key == "content" || is_nothing(value)) {
                continue;
            }
            if (!contains(kPassedOn, key)) {
                refuse(key);
            } else if (!value.is_string()) {
                fail(key, "a string");
            } else {
                out[key] = value;
            }
        }
        return out;
    }

    const std::optional<ApiError>& error() const noexcept { return error_; }

private:
    std::string read_role() {
        const json::value* role = fields_.present("role");
        if (role == nullptr) {
            keep(missing_parameter(at_ + ".role"));
            return {};
        }
        if (!role->is_string() || !contains(kRoles, role->get_string())) {
            fail("role", fmt::format("one of {}", fmt::join(kRoles, ", ")));
            return {};
        }
        return std::string(role->get_string());
    }

    std::string read_content(const std::string& role) {
        const json::value* content = fields_.present("content");
        if (content == nullptr) {
            // An assistant's message without text is what clients keep of an empty answer.
            if (role != "assistant") {
                keep(missing_parameter(at_ + ".content"));
            }
            return {};
        }
        if (content->is_string()) {
            return std::string(content->get_string());
        }
        const json::array* parts = content->if_array();
        if (parts == nullptr || parts->empty()) {
            fail("content", "a string or an array of text parts");
            return {};
        }
        std::string text;
        for (size_t i = 0; i < parts->size(); ++i) {
            text += i == 0 ? "" : "\n";
            text += read_part((*parts)[i], i);
        }
        return text;
    }

    std::string read_part(const json::value& part, size_t index) {
        const std::string key = fmt::format("content[{}]", index);
        const json::object* object = part.if_object();
        const json::value* type = object == nullptr ? nullptr : object->if_contains("type");
        if (type == nullptr || !type->is_string()) {
            fail(key, "an object with a type");
            return {};
        }
        if (*type != "text") {
            const std::string param = fmt::format("{}.{}.type", at_, key);
            keep(unsupported_value(
                param, fmt::format("{}: \"{}\" parts are not supported, only \"text\"", param,
                                   std::string_view(type->get_string()))));
            return {};
        }
        const json::value* text = object->if_contains("text");
        if (text == nullptr || !text->is_string()) {
            fail(key + ".text", "a string");
            return {};
        }
        return std::string(text->get_string());
    }

    void refuse(std::string_view key) {
        constexpr std::array<std::string_view, 4> kKnown{"tool_calls", "function_call", "audio",
                                                         "refusal"};
        const std::string param = fmt::format("{}.{}", at_, key);
        keep(contains(kKnown, key) ? unsupported_parameter(param, param + ": is not supported here")
                                   : unknown_parameter(param));
    }

    void fail(std::string_view key, std::string_view wanted) {
        const std::string param = fmt::format("{}.{}", at_, key);
        keep(invalid_value(param, fmt::format("{}: must be {}", param, wanted)));
    }

    void keep(ApiError error) {
        if (!error_) {
            error_ = std::move(error);
        }
    }

    const json::object& message_;
    FieldReader fields_;
    std::string at_;
    std::optional<ApiError> error_;
};

}  // namespace

std::variant<ChatVariables, ApiError> read_messages(const json::value& messages) {
    const json::array* list = messages.if_array();
    if (list == nullptr || list->empty()) {
        return invalid_value("messages", "messages: must be an array of at least one message");
    }
    ChatVariables variables;
    json::array out;
    out.reserve(list->size());
    for (size_t i = 0; i < list->size(); ++i) {
        const json::object* message = (*list)[i].if_object();
        if (message == nullptr) {
            const std::string param = fmt::format("messages[{}]", i);
            return invalid_value(param, param + ": must be an object");
        }
        MessageReader reader(*message, i);
        json::object read = reader.read();
        if (reader.error()) {
            return *reader.error();
        }
        variables.content_bytes += read.at("content").get_string().size();
        out.push_back(std::move(read));
    }
    json::object all;
    all["messages"] = std::move(out);
    all["add_generation_prompt"] = true;
    variables.json = json::serialize(all);
    return variables;
}

}  // namespace rekindle::daemon
