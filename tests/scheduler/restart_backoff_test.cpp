#include "scheduler/scale/restart_backoff.h"

#include <doctest/doctest.h>

using namespace rekindle;             // NOLINT(google-build-using-namespace): a test.
using namespace rekindle::scheduler;  // NOLINT(google-build-using-namespace): a test.
using std::chrono::milliseconds;

TEST_CASE("each failure in a row doubles the wait up to its limit; a success ends it") {
    ManualClock clock;
    RestartBackoff backoff({.first = milliseconds(100), .longest = milliseconds(500)});
    CHECK(backoff.wait(clock.monotonic()) == Nanoseconds(0));

    for (const int64_t ms : {100, 200, 400, 500, 500}) {
        backoff.failed(clock.monotonic(), 0);
        CHECK(backoff.wait(clock.monotonic()) == milliseconds(ms));
    }
    clock.advance(milliseconds(499));
    CHECK(backoff.wait(clock.monotonic()) == milliseconds(1));
    clock.advance(milliseconds(1));
    CHECK(backoff.wait(clock.monotonic()) == Nanoseconds(0));
    backoff.succeeded();
    CHECK(backoff.failures() == 0);
    backoff.failed(clock.monotonic(), 0);
    CHECK(backoff.wait(clock.monotonic()) == milliseconds(100));
}

TEST_CASE("the spread shortens a wait by up to half") {
    const ManualClock clock;
    RestartBackoff backoff({.first = milliseconds(100), .longest = milliseconds(500)});
    backoff.failed(clock.monotonic(), 0.5);
    CHECK(backoff.wait(clock.monotonic()) == milliseconds(75));
}

TEST_CASE("any number of failures keeps the longest wait") {
    const ManualClock clock;
    RestartBackoff backoff({});
    for (int i = 0; i < 1000; ++i) {
        backoff.failed(clock.monotonic(), 0);
    }
    CHECK(backoff.wait(clock.monotonic()) == milliseconds(30'000));
}
