// The fields of OpenAI's request bodies: which are known, which are accepted without effect, and
// which may only have the value that changes nothing; and typed access that names the field.
// Rule: what would change the answer and can't be done is refused, never ignored.
#pragma once
#include "base/json.h"
#include "daemon/openai_errors.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rekindle::daemon {

enum class AnswerKind : uint8_t { kChat, kCompletion };

// The first field that is unknown, or that asks for what can't be done.
std::optional<ApiError> check_known_fields(const json::object& body, AnswerKind kind);

// Reads fields one after the other. The first fault is kept and later reads give nothing, so that
// the caller asks once at the end. A field that is null counts as absent.
class FieldReader {
public:
    explicit FieldReader(const json::object& object) : object_(object) {}

    const json::value* present(std::string_view key) const;
    std::optional<double> number(std::string_view key, double low, double high);
    std::optional<int64_t> integer(std::string_view key, int64_t low, int64_t high);
    std::optional<bool> boolean(std::string_view key);
    std::optional<std::string> string(std::string_view key);

    void fail(ApiError error);
    void fail_value(std::string_view key, std::string_view wanted);

    bool failed() const noexcept { return error_.has_value(); }

    const std::optional<ApiError>& error() const noexcept { return error_; }

private:
    const json::object& object_;
    std::optional<ApiError> error_;
};

}  // namespace rekindle::daemon
