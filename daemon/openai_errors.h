// Errors as clients see them: OpenAI's JSON form, and the one table from ErrorCode to HTTP status,
// type and code. Plain values.
#pragma once
#include "base/result.h"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace rekindle::daemon {

struct ApiError {
    int status = 500;
    std::string_view type;  // Literals from the table below.
    std::string_view code;
    std::string param;  // The field at fault; empty: null on the wire.
    std::string message;
    // What clients are told about trying again; nothing: their own rule.
    std::optional<bool> should_retry;
    std::optional<std::chrono::milliseconds> retry_after;
    std::string timing;  // Server-Timing, if the request came so far.
};

// By the table. A message that begins with "prompt: " or "messages: " names that parameter.
ApiError api_error(const Error& error);

// The request is at fault: status 400.
ApiError invalid_value(std::string param, std::string message);
// A field or value that would change the answer and that nothing here can do: status 400.
ApiError unsupported_parameter(std::string param, std::string message);
ApiError unsupported_value(std::string param, std::string message);
ApiError unknown_parameter(std::string param);
ApiError missing_parameter(std::string param);
ApiError model_not_found(std::string_view model);
// An error of the protocol itself (404 of a path, 405, 408, 413, 431, …).
ApiError http_error(int status, std::string_view code, std::string message);

// {"error":{"message":…,"type":…,"param":…,"code":…}}
std::string error_json(const ApiError& error);

}  // namespace rekindle::daemon
