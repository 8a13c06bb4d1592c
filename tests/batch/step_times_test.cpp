#include "scheduler/batch/step_times.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>

using namespace rekindle;  // NOLINT(google-build-using-namespace): a test of one library.
using scheduler::StepTimes;

namespace {

constexpr Nanoseconds kOne = std::chrono::milliseconds(5);

// Four rows cost what one costs: 5 ms, 10 ms, 15 ms …
Nanoseconds tiled(uint32_t rows) {
    return kOne * ((rows + 3) / 4);
}

}  // namespace

TEST_CASE("before anything was measured another row costs little, but something") {
    const StepTimes times;
    for (uint32_t rows = 1; rows < StepTimes::kRowsMax; ++rows) {
        CHECK(times.of(rows + 1) > times.of(rows));
        CHECK(times.of(rows + 1) < 1.1 * times.of(rows));
    }
}

TEST_CASE("the curve of a machine is learned, steps and all") {
    StepTimes times;
    for (int round = 0; round < 20; ++round) {
        for (uint32_t rows = 1; rows <= 12; ++rows) {
            times.measured(rows, tiled(rows));
        }
    }
    CHECK(times.of(4) / times.of(1) == doctest::Approx(1).epsilon(0.05));
    CHECK(times.of(5) / times.of(4) == doctest::Approx(2).epsilon(0.05));
    CHECK(times.of(12) / times.of(1) == doctest::Approx(3).epsilon(0.05));
}

TEST_CASE("a machine that becomes slower as a whole changes the curve little") {
    StepTimes times;
    for (int round = 0; round < 50; ++round) {
        times.measured(1, kOne);
        times.measured(8, 2 * kOne);
    }
    for (int round = 0; round < 50; ++round) {
        times.measured(8, 4 * kOne);
    }
    CHECK(times.of(8) / times.of(1) < 2.3);
    CHECK(times.of(8) / times.of(1) > 1.8);
}

TEST_CASE("one step that was held up is forgotten by and by, unless it is measured again") {
    StepTimes times;
    times.measured(1, kOne);
    times.measured(4, 100 * kOne);
    const double at_once = times.of(4) / times.of(1);
    CHECK(at_once > 4);
    CHECK(at_once < 6);
    for (int step = 0; step < 300; ++step) {
        times.measured(1, kOne);
    }
    CHECK(times.of(4) / times.of(1) < 1.5);
    times.measured(4, 3 * kOne);
    CHECK(times.of(4) / times.of(1) > 1.5);
}

TEST_CASE("more rows than are looked at change nothing") {
    StepTimes times;
    times.measured(1, kOne);
    times.measured(StepTimes::kRowsMax + 1, 50 * kOne);
    CHECK(times.of(StepTimes::kRowsMax) < 5 * times.of(1));
    CHECK(times.of(StepTimes::kRowsMax + 1) == times.of(StepTimes::kRowsMax));
}
