#include "scheduler/admit/token_lease.h"

#include "base/random.h"

#include <doctest/doctest.h>

#include <algorithm>

using namespace rekindle;             // NOLINT(google-build-using-namespace): a test.
using namespace rekindle::scheduler;  // NOLINT(google-build-using-namespace): a test.

TEST_CASE("a lease is extended before it runs out, and ends at the request's limit") {
    TokenLease lease(50, /*streamed=*/true, {.block = 32, .ahead = 16});

    CHECK(lease.grant() == 32);
    CHECK(lease.grant() == 0);
    REQUIRE(lease.sampled(15).ok());
    lease.delivered(15);
    CHECK(lease.grant() == 0);  // 17 are left.
    REQUIRE(lease.sampled(1).ok());
    CHECK(lease.grant() == 18);
    REQUIRE(lease.sampled(34).ok());
    CHECK(lease.grant() == 0);
    CHECK(lease.granted() == 50);
}

TEST_CASE("a worker that samples more than its lease is found out") {
    TokenLease lease(50, true, {.block = 32, .ahead = 16});
    CHECK(lease.sampled(1).error().code == ErrorCode::kCorrupt);
    REQUIRE(lease.grant() == 32);
    CHECK(lease.sampled(33).error().code == ErrorCode::kCorrupt);
    CHECK(lease.sampled(32).ok());
    CHECK(lease.sampled(1).error().code == ErrorCode::kCorrupt);
    CHECK(lease.sampled() == 32);
}

TEST_CASE("a client that does not read stops its model, and starts it again by reading") {
    TokenLease lease(1000, true, {.block = 32, .ahead = 16, .undelivered_max = 40});
    uint32_t left = lease.grant();
    while (left > 0) {
        REQUIRE(lease.sampled(1).ok());
        left = left - 1 + lease.grant();
    }
    CHECK(lease.sampled() <= 40 + 32);
    CHECK(lease.grant() == 0);
    lease.delivered(lease.sampled() - 40);
    CHECK(lease.grant() == 32);
}

TEST_CASE("an answer that is sent whole knows no back-pressure") {
    TokenLease lease(1000, /*streamed=*/false, {.block = 32, .ahead = 16, .undelivered_max = 40});
    uint32_t left = lease.grant();
    while (left > 0) {
        REQUIRE(lease.sampled(1).ok());
        left = left - 1 + lease.grant();
    }
    CHECK(lease.sampled() == 1000);
}

TEST_CASE("a request of no tokens gets none") {
    TokenLease lease(0, true, {});
    CHECK(lease.grant() == 0);
    CHECK(lease.grant() == 0);
}

TEST_CASE("whatever the order: sampled <= granted <= limit, and a reading client gets it all") {
    for (uint64_t seed = 0; seed < 200; ++seed) {
        auto next = [seed, draw = uint64_t{0}](uint64_t below) mutable {
            return static_cast<uint32_t>(counter_random(seed, 1, draw++) % below);
        };
        const uint32_t limit = next(500);
        const LeaseLimits limits{
            .block = 1 + next(64), .ahead = next(32), .undelivered_max = next(100)};
        TokenLease lease(limit, next(2) == 1, limits);
        while (lease.delivered() < limit) {
            lease.grant();
            REQUIRE(lease.granted() <= limit);
            const uint32_t sampled = next(lease.granted() - lease.sampled() + 1);
            REQUIRE(lease.sampled(sampled).ok());
            lease.delivered(next(lease.sampled() - lease.delivered() + 1));
        }
        CHECK(lease.granted() == limit);
    }
}
