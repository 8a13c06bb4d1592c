#include "base/log.h"

#include <doctest/doctest.h>

using namespace rekindle;  // NOLINT(google-build-using-namespace): a test.

TEST_CASE("log levels have the names of the command line, and no others") {
    LogLevel level = LogLevel::kInfo;
    CHECK(parse_log_level("debug", level));
    CHECK(level == LogLevel::kDebug);
    CHECK(parse_log_level("error", level));
    CHECK(level == LogLevel::kError);
    CHECK_FALSE(parse_log_level("warn", level));
    CHECK_FALSE(parse_log_level("", level));
    CHECK(level == LogLevel::kError);
}
