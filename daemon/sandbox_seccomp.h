// The allow-list of system calls. What is on it, and with which arguments, stands in the .cpp
// alone.
#pragma once
#include "base/result.h"
#include "daemon/sandbox.h"

namespace rekindle::daemon {

// True in builds whose sanitizer runtime needs calls of its own.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define REKINDLE_SANITIZER 1
#endif
#endif
#if defined(REKINDLE_SANITIZER)
inline constexpr bool kSanitizerBuild = true;
#else
inline constexpr bool kSanitizerBuild = false;
#endif

// Loads the filter into all threads, for good. kUnavailable when the kernel has no seccomp.
Result<void> enter_seccomp(SandboxKind kind);

}  // namespace rekindle::daemon
