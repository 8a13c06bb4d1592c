#include "base/check.h"

#include <cstdio>
#include <cstdlib>
#include <execinfo.h>
#include <unistd.h>

namespace rekindle {

void check_failed(const char* file, int line, const char* condition, const char* why) noexcept {
    std::fprintf(stderr, "%s:%d: check failed: %s (%s)\n", file, line, condition, why);
    constexpr int kFramesMax = 48;
    void* frames[kFramesMax];
    const int count = ::backtrace(frames, kFramesMax);
    ::backtrace_symbols_fd(frames, count, STDERR_FILENO);
    std::abort();
}

}  // namespace rekindle
