// The exit codes of `rekindle`, which scripts rely on: they never change their meaning.
#pragma once
#include "base/result.h"

#include <string_view>

namespace rekindle::cli {

enum ExitCode : int {
    kExitOk = 0,
    kExitError = 1,         // It was tried and failed: daemon, worker, disk, broken stream.
    kExitUsage = 2,         // The command line or the manifest is wrong.
    kExitNotFound = 3,      // The named model or file does not exist.
    kExitNotReachable = 4,  // No daemon answers.
    kExitRefused = 5,  // The daemon refuses: bad model file, wrong value, busy, draining, limit.
    kExitInterrupted = 130,  // Ctrl-C.
};

ExitCode exit_code_of(ErrorCode code) noexcept;

// The error code that stands for an HTTP status >= 400 of the daemon.
ErrorCode error_code_of_status(long status) noexcept;

// The same for an error that came after a good status, in a stream: by its type and code. A worker
// or a daemon that goes away in the middle of an answer is no refusal.
ErrorCode error_code_of_event(std::string_view type, std::string_view code) noexcept;

}  // namespace rekindle::cli
