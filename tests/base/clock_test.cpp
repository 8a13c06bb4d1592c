#include "base/clock.h"

#include <doctest/doctest.h>

using namespace rekindle;  // NOLINT(google-build-using-namespace): a test.
using std::chrono::seconds;

TEST_CASE("a manual clock moves when told, both hands together") {
    ManualClock clock;
    const Nanoseconds monotonic = clock.monotonic();
    const Nanoseconds wall = clock.wall();
    CHECK(clock.monotonic() == monotonic);
    clock.advance(seconds(5));
    CHECK(clock.monotonic() == monotonic + seconds(5));
    CHECK(clock.wall() == wall + seconds(5));
}

TEST_CASE("a step of the wall clock leaves durations alone") {
    ManualClock clock;
    const Nanoseconds monotonic = clock.monotonic();
    const Nanoseconds wall = clock.wall();
    clock.step_wall(-seconds(3600));
    CHECK(clock.monotonic() == monotonic);
    CHECK(clock.wall() == wall - seconds(3600));
}

TEST_CASE("the system's monotonic clock never goes back, and the wall clock is of this century") {
    const SystemClock clock;
    Nanoseconds last = clock.monotonic();
    for (int i = 0; i < 1000; ++i) {
        const Nanoseconds now = clock.monotonic();
        REQUIRE(now >= last);
        last = now;
    }
    CHECK(clock.wall() > std::chrono::hours(24 * 365 * 50));
}
