#include "scheduler/scale/keep_alive.h"

#include <doctest/doctest.h>

#include <vector>

using namespace rekindle;             // NOLINT(google-build-using-namespace): a test.
using namespace rekindle::scheduler;  // NOLINT(google-build-using-namespace): a test.
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

TEST_CASE("a worker is cooled when its own idle time, or else the node's, has passed") {
    ManualClock clock;
    const ScaleLimits limits{.idle_default = minutes(5)};
    const std::vector<WorkerUse> workers{
        {.deployment = "usual", .idle_since = clock.monotonic()},
        {.deployment = "short", .idle_since = clock.monotonic(), .idle_max = seconds(10)}};

    clock.advance(seconds(10) - Nanoseconds(1));
    CHECK(workers_to_cool(workers, clock.monotonic(), limits).empty());
    CHECK(until_next_cooling(workers, clock.monotonic(), limits) == Nanoseconds(1));
    clock.advance(Nanoseconds(1));
    CHECK(workers_to_cool(workers, clock.monotonic(), limits) == std::vector<std::string>{"short"});
    CHECK(until_next_cooling(workers, clock.monotonic(), limits) == Nanoseconds(0));
    clock.advance(minutes(5));
    CHECK(workers_to_cool(workers, clock.monotonic(), limits) ==
          std::vector<std::string>{"short", "usual"});
}

TEST_CASE("a busy worker is never named") {
    ManualClock clock;
    const std::vector<WorkerUse> workers{{.deployment = "busy",
                                          .requests = 1,
                                          .idle_since = Nanoseconds(0),
                                          .idle_max = seconds(0)}};
    clock.advance(minutes(60));

    CHECK(workers_to_cool(workers, clock.monotonic(), {}).empty());
    CHECK(until_next_cooling(workers, clock.monotonic(), {}) == std::nullopt);
    CHECK(worker_to_evict(workers) == std::nullopt);
}

TEST_CASE("an idle time of zero cools at once, the longest one never") {
    const ManualClock clock;
    const std::vector<WorkerUse> workers{
        {.deployment = "now", .idle_since = clock.monotonic(), .idle_max = seconds(0)},
        {.deployment = "ever", .idle_since = clock.monotonic(), .idle_max = milliseconds::max()}};

    CHECK(workers_to_cool(workers, clock.monotonic(), {}) == std::vector<std::string>{"now"});
    CHECK(until_next_cooling(std::span(workers).subspan(1), clock.monotonic(), {}) == std::nullopt);
}

TEST_CASE("the worker that was idle longest gives its place up, also one that is kept for ever") {
    const std::vector<WorkerUse> workers{
        {.deployment = "newer", .idle_since = seconds(20)},
        {.deployment = "older", .idle_since = seconds(10), .idle_max = milliseconds::max()},
        {.deployment = "busy", .requests = 3, .idle_since = seconds(1)}};

    CHECK(worker_to_evict(workers) == "older");
}

TEST_CASE("spare workers are started up to their number, within the limit of all") {
    const ScaleLimits limits{.spares_min = 2, .workers_max = 4};

    CHECK(spares_to_start({}, limits) == 2);
    CHECK(spares_to_start({.spare = 1}, limits) == 1);
    CHECK(spares_to_start({.spare = 1, .starting = 1}, limits) == 0);
    CHECK(spares_to_start({.assigned = 3}, limits) == 1);
    CHECK(spares_to_start({.assigned = 4}, limits) == 0);
    CHECK(spares_to_start({.assigned = 9}, limits) == 0);
}

TEST_CASE("the pool is full when all its workers are assigned") {
    const ScaleLimits limits{.workers_max = 2};

    CHECK_FALSE(pool_is_full({.assigned = 1}, limits));
    CHECK_FALSE(pool_is_full({.assigned = 1, .spare = 1}, limits));
    CHECK(pool_is_full({.assigned = 2}, limits));
}

TEST_CASE("a worker that is kept warm is neither cooled nor evicted") {
    ManualClock clock;
    const std::vector<WorkerUse> workers{
        {.deployment = "kept", .idle_max = seconds(0), .kept = true}};
    clock.advance(minutes(60));

    CHECK(workers_to_cool(workers, clock.monotonic(), {}).empty());
    CHECK(until_next_cooling(workers, clock.monotonic(), {}) == std::nullopt);
    CHECK(worker_to_evict(workers) == std::nullopt);
}
