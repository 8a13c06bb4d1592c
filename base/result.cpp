#include "base/result.h"

#include <cerrno>
#include <system_error>

namespace rekindle {

std::string_view error_code_name(ErrorCode code) noexcept {
    switch (code) {
        case ErrorCode::kInvalidArgument:
            return "invalid_argument";
        case ErrorCode::kUnauthorized:
            return "unauthorized";
        case ErrorCode::kForbidden:
            return "forbidden";
        case ErrorCode::kNotFound:
            return "not_found";
        case ErrorCode::kAlreadyExists:
            return "already_exists";
        case ErrorCode::kConflict:
            return "conflict";
        case ErrorCode::kTooLarge:
            return "too_large";
        case ErrorCode::kUnsupported:
            return "unsupported";
        case ErrorCode::kTruncated:
            return "truncated";
        case ErrorCode::kCorrupt:
            return "corrupt";
        case ErrorCode::kRateLimited:
            return "rate_limited";
        case ErrorCode::kBudgetExhausted:
            return "budget_exhausted";
        case ErrorCode::kOverloaded:
            return "overloaded";
        case ErrorCode::kUnavailable:
            return "unavailable";
        case ErrorCode::kDeadline:
            return "deadline";
        case ErrorCode::kCancelled:
            return "cancelled";
        case ErrorCode::kResourceExhausted:
            return "resource_exhausted";
        case ErrorCode::kNoSpace:
            return "no_space";
        case ErrorCode::kIo:
            return "io";
        case ErrorCode::kInternal:
            return "internal";
    }
    return "internal";
}

Error errno_error(std::string_view what, int error_number) {
    ErrorCode code = ErrorCode::kIo;
    if (error_number == ENOSPC || error_number == EDQUOT) {
        code = ErrorCode::kNoSpace;
    } else if (error_number == ENOENT) {
        code = ErrorCode::kNotFound;
    } else if (error_number == EMFILE || error_number == ENFILE || error_number == ENOMEM) {
        code = ErrorCode::kResourceExhausted;
    }
    return Error{code, std::string(what) + ": " + std::generic_category().message(error_number)};
}

}  // namespace rekindle
