#include "cli/exit_code.h"

namespace rekindle::cli {

ExitCode exit_code_of(ErrorCode code) noexcept {
    switch (code) {
        case ErrorCode::kInvalidArgument:
            return kExitUsage;
        case ErrorCode::kNotFound:
            return kExitNotFound;
        case ErrorCode::kUnavailable:
            return kExitNotReachable;
        case ErrorCode::kConflict:
        case ErrorCode::kOverloaded:
            return kExitRefused;
        case ErrorCode::kCancelled:
            return kExitInterrupted;
        default:
            return kExitError;
    }
}

ErrorCode error_code_of_status(long status) noexcept {
    constexpr long kNotFoundStatus = 404;
    constexpr long kServerErrors = 500;
    constexpr long kUnavailableStatus = 503;  // Draining or full: the daemon is there and says no.
    constexpr long kNoSpaceStatus = 507;
    if (status == kNotFoundStatus) {
        return ErrorCode::kNotFound;
    }
    if (status == kUnavailableStatus) {
        return ErrorCode::kOverloaded;
    }
    if (status == kNoSpaceStatus) {
        return ErrorCode::kNoSpace;
    }
    return status < kServerErrors ? ErrorCode::kConflict : ErrorCode::kInternal;
}

ErrorCode error_code_of_event(std::string_view type, std::string_view code) noexcept {
    if (code == "not_found" || code == "model_not_found") {
        return ErrorCode::kNotFound;
    }
    if (code == "no_space") {
        return ErrorCode::kNoSpace;
    }
    const bool refused =
        type != "server_error" || code == "overloaded" || code == "resource_exhausted";
    return refused ? ErrorCode::kConflict : ErrorCode::kInternal;
}

}  // namespace rekindle::cli
