#include "daemon/openai_errors.h"

#include "daemon/api/openai_types.h"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace rekindle::daemon {
namespace {

constexpr std::string_view kInvalidRequest = "invalid_request_error";
constexpr std::string_view kServerError = "server_error";
// Short: a full queue moves within a second, a worker or a restore is back within one.
constexpr std::chrono::milliseconds kRetrySoon{1'000};

enum class Retry { kOwnRule, kNever, kSoon };

struct ErrorRow {
    ErrorCode code;
    int status;
    std::string_view type;
    std::string_view name;
    Retry retry;
};

// OpenAI's clients retry 408, 409, 429 and 5xx by themselves; `kNever` stops that where the same
// request can only fail again.
constexpr std::array kErrorRows{
    ErrorRow{ErrorCode::kInvalidArgument, 400, kInvalidRequest, "invalid_value", Retry::kOwnRule},
    ErrorRow{ErrorCode::kUnauthorized, 401, "authentication_error", "invalid_api_key",
             Retry::kOwnRule},
    ErrorRow{ErrorCode::kForbidden, 403, "permission_error", "forbidden", Retry::kOwnRule},
    ErrorRow{ErrorCode::kNotFound, 404, kInvalidRequest, "not_found", Retry::kOwnRule},
    ErrorRow{ErrorCode::kAlreadyExists, 409, kInvalidRequest, "already_exists", Retry::kNever},
    ErrorRow{ErrorCode::kConflict, 409, kInvalidRequest, "conflict", Retry::kNever},
    ErrorRow{ErrorCode::kTooLarge, 413, kInvalidRequest, "too_large", Retry::kOwnRule},
    ErrorRow{ErrorCode::kUnsupported, 400, kInvalidRequest, "unsupported_value", Retry::kOwnRule},
    ErrorRow{ErrorCode::kTruncated, 400, kInvalidRequest, "truncated", Retry::kOwnRule},
    ErrorRow{ErrorCode::kCorrupt, 500, kServerError, "corrupt", Retry::kOwnRule},
    ErrorRow{ErrorCode::kRateLimited, 429, "rate_limit_error", "rate_limit_exceeded", Retry::kSoon},
    ErrorRow{ErrorCode::kBudgetExhausted, 429, "insufficient_quota", "insufficient_quota",
             Retry::kNever},
    ErrorRow{ErrorCode::kOverloaded, 503, kServerError, "overloaded", Retry::kSoon},
    ErrorRow{ErrorCode::kUnavailable, 503, kServerError, "unavailable", Retry::kSoon},
    ErrorRow{ErrorCode::kDeadline, 504, kServerError, "timeout", Retry::kOwnRule},
    ErrorRow{ErrorCode::kCancelled, 503, kServerError, "cancelled", Retry::kSoon},
    ErrorRow{ErrorCode::kResourceExhausted, 503, kServerError, "resource_exhausted", Retry::kSoon},
    ErrorRow{ErrorCode::kNoSpace, 507, kServerError, "no_space", Retry::kNever},
    ErrorRow{ErrorCode::kIo, 500, kServerError, "io_error", Retry::kOwnRule},
    ErrorRow{ErrorCode::kInternal, 500, kServerError, "internal_error", Retry::kOwnRule},
};

constexpr bool rows_are_in_order() {
    for (size_t i = 0; i < kErrorRows.size(); ++i) {
        if (static_cast<size_t>(kErrorRows[i].code) != i) {
            return false;
        }
    }
    return static_cast<size_t>(ErrorCode::kInternal) + 1 == kErrorRows.size();
}

static_assert(rows_are_in_order(), "one row for each ErrorCode, in its order");

std::string param_of(std::string_view message) {
    for (const std::string_view param : {"prompt", "messages"}) {
        if (message.starts_with(param) && message.substr(param.size()).starts_with(": ")) {
            return std::string(param);
        }
    }
    return {};
}

ApiError bad_request(std::string_view code, std::string param, std::string message) {
    return ApiError{.status = 400,
                    .type = kInvalidRequest,
                    .code = code,
                    .param = std::move(param),
                    .message = std::move(message)};
}

}  // namespace

ApiError api_error(const Error& error) {
    const ErrorRow& row = kErrorRows[static_cast<size_t>(error.code)];
    ApiError api{.status = row.status,
                 .type = row.type,
                 .code = row.name,
                 .param = param_of(error.message),
                 .message = error.message};
    if (row.retry == Retry::kNever) {
        api.should_retry = false;
    } else if (row.retry == Retry::kSoon) {
        api.should_retry = true;
        api.retry_after = kRetrySoon;
    }
    return api;
}

ApiError invalid_value(std::string param, std::string message) {
    return bad_request("invalid_value", std::move(param), std::move(message));
}

ApiError unsupported_parameter(std::string param, std::string message) {
    return bad_request("unsupported_parameter", std::move(param), std::move(message));
}

ApiError unsupported_value(std::string param, std::string message) {
    return bad_request("unsupported_value", std::move(param), std::move(message));
}

ApiError unknown_parameter(std::string param) {
    auto message = fmt::format("Unrecognized request argument supplied: {}", param);
    return bad_request("unknown_parameter", std::move(param), std::move(message));
}

ApiError missing_parameter(std::string param) {
    auto message = fmt::format("Missing required parameter: '{}'.", param);
    return bad_request("missing_required_parameter", std::move(param), std::move(message));
}

ApiError model_not_found(std::string_view model) {
    return ApiError{.status = 404,
                    .type = kInvalidRequest,
                    .code = "model_not_found",
                    .param = "model",
                    .message = fmt::format("The model '{}' does not exist here: GET /v1/models "
                                           "lists those that do.",
                                           model)};
}

ApiError http_error(int status, std::string_view code, std::string message) {
    constexpr int kFirstServerStatus = 500;
    return ApiError{.status = status,
                    .type = status < kFirstServerStatus ? kInvalidRequest : kServerError,
                    .code = code,
                    .message = std::move(message)};
}

std::string error_json(const ApiError& error) {
    return api::error_object(error.message, error.type, error.param, error.code);
}

}  // namespace rekindle::daemon
