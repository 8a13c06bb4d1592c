// REKINDLE_CHECK(condition, "why it must hold"): for our own bugs, in every build. It prints place,
// condition and backtrace to stderr and aborts. Never for outside input: that is a Result.
#pragma once

namespace rekindle {

// Prints the failed check with a backtrace, then aborts.
[[noreturn]] void check_failed(const char* file, int line, const char* condition,
                               const char* why) noexcept;

}  // namespace rekindle

#define REKINDLE_CHECK(condition, why)                                     \
    do {                                                                   \
        if (!(condition)) [[unlikely]] {                                   \
            ::rekindle::check_failed(__FILE__, __LINE__, #condition, why); \
        }                                                                  \
    } while (false)
