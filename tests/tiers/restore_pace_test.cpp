#include "snapshot/tiers/detail/restore_pace.h"

#include <doctest/doctest.h>

using namespace rekindle;            // NOLINT(google-build-using-namespace): a test.
using namespace rekindle::snapshot;  // NOLINT(google-build-using-namespace): a test.

TEST_CASE("without a limit reads may always start and nothing rests") {
    ManualClock clock;
    RestorePace pace(clock);
    for (int i = 0; i < 3; ++i) {
        CHECK(pace.may_read());
        clock.advance(10 * kReadSlice);
        CHECK(pace.may_read());
        CHECK(pace.take_rest() == Nanoseconds(0));
    }
}

TEST_CASE("a slice of reading is followed by a rest that makes it the share of both") {
    ManualClock clock;
    RestorePace pace(clock);
    for (const uint32_t share : {1U, 25U, 50U, 99U}) {
        pace.set_share(share);
        CHECK(pace.may_read());
        clock.advance(kReadSlice - Nanoseconds(1));
        CHECK(pace.may_read());
        CHECK(pace.take_rest() == Nanoseconds(0));  // The queue ran dry: the slice goes on.
        CHECK(pace.may_read());
        clock.advance(Nanoseconds(1));
        CHECK_FALSE(pace.may_read());
        clock.advance(kReadSlice);  // What was in flight comes back.
        const Nanoseconds read_for = 2 * kReadSlice;
        CHECK(pace.take_rest() == read_for * (100 - share) / share);
        CHECK(pace.may_read());
        clock.advance(kReadSlice);
        CHECK(pace.take_rest() > Nanoseconds(0));
    }
}

TEST_CASE("time without a restore is no time of reading") {
    ManualClock clock;
    RestorePace pace(clock);
    pace.set_share(50);
    CHECK(pace.may_read());
    pace.end_slice();
    clock.advance(std::chrono::hours(1));
    CHECK(pace.may_read());
    CHECK(pace.take_rest() == Nanoseconds(0));
}

TEST_CASE("a limit that is lifted within a slice ends it without a rest") {
    ManualClock clock;
    RestorePace pace(clock);
    pace.set_share(10);
    CHECK(pace.may_read());
    clock.advance(kReadSlice);
    CHECK_FALSE(pace.may_read());
    pace.set_share(100);
    CHECK(pace.may_read());
    CHECK(pace.take_rest() == Nanoseconds(0));
}
