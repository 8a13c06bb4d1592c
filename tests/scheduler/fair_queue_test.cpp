#include "scheduler/admit/fair_queue.h"

#include "base/random.h"

#include <doctest/doctest.h>

#include <array>
#include <map>
#include <string>

using namespace rekindle;             // NOLINT(google-build-using-namespace): a test.
using namespace rekindle::scheduler;  // NOLINT(google-build-using-namespace): a test.

TEST_CASE("one tenant is served in order of arrival") {
    FairQueue queue(10);
    for (const uint64_t id : {3U, 1U, 2U}) {
        REQUIRE(queue.push(id, "a", 5).ok());
    }
    CHECK(queue.pop() == 3);
    CHECK(queue.pop() == 1);
    CHECK(queue.pop() == 2);
    CHECK(queue.pop() == std::nullopt);
}

TEST_CASE("a burst of one tenant does not make another wait behind it") {
    FairQueue queue(100);
    for (uint64_t id = 0; id < 50; ++id) {
        REQUIRE(queue.push(id, "burst", 10).ok());
    }
    REQUIRE(queue.pop() == 0);
    REQUIRE(queue.push(100, "calm", 10).ok());
    REQUIRE(queue.push(101, "calm", 10).ok());

    CHECK(queue.pop() == 100);  // Level with the burst, and taken longest ago.
    CHECK(queue.pop() == 1);
    CHECK(queue.pop() == 101);
}

TEST_CASE("a tenant that was away saved up no credit") {
    FairQueue queue(100);
    for (uint64_t id = 0; id < 20; ++id) {
        REQUIRE(queue.push(id, "busy", 100).ok());
    }
    for (int i = 0; i < 10; ++i) {
        REQUIRE(queue.pop().has_value());
    }
    for (uint64_t id = 50; id < 60; ++id) {
        REQUIRE(queue.push(id, "new", 100).ok());
    }
    int busy = 0;
    for (int i = 0; i < 10; ++i) {
        busy += *queue.pop() < 50 ? 1 : 0;
    }
    CHECK(busy >= 4);
    CHECK(busy <= 6);
}

TEST_CASE("tokens beyond the estimate count for the next turn") {
    FairQueue queue(10);
    for (const uint64_t id : {1U, 2U, 3U}) {
        REQUIRE(queue.push(id, "a", 1).ok());
        REQUIRE(queue.push(id + 10, "b", 1).ok());
    }
    CHECK(queue.pop() == 1);
    queue.charge("a", 100);
    CHECK(queue.pop() == 11);
    CHECK(queue.pop() == 12);
    CHECK(queue.pop() == 13);
    CHECK(queue.pop() == 2);
}

TEST_CASE("one that gave up is not served") {
    FairQueue queue(10);
    REQUIRE(queue.push(1, "a", 1).ok());
    REQUIRE(queue.push(2, "a", 1).ok());

    CHECK(queue.remove(1));
    CHECK_FALSE(queue.remove(1));
    CHECK(queue.waiting() == 1);
    CHECK(queue.pop() == 2);
}

TEST_CASE("the queue has a limit") {
    FairQueue queue(2);
    REQUIRE(queue.push(1, "a", 1).ok());
    REQUIRE(queue.push(2, "b", 1).ok());
    CHECK(queue.push(3, "c", 1).error().code == ErrorCode::kOverloaded);
    REQUIRE(queue.pop().has_value());
    CHECK(queue.push(3, "c", 1).ok());
}

TEST_CASE("tenants that always wait are served within one request of each other") {
    constexpr uint64_t kCostMax = 1000;
    const std::array<std::string, 4> tenants{"a", "b", "c", "d"};
    FairQueue queue(1000);
    std::map<std::string, uint64_t> served;
    std::map<uint64_t, std::pair<std::string, uint64_t>> waiting;
    uint64_t next = 0;
    const auto add = [&](const std::string& tenant) {
        const uint64_t cost = 1 + counter_random(3, 0, next) % kCostMax;
        waiting[next] = {tenant, cost};
        REQUIRE(queue.push(next++, tenant, cost).ok());
    };
    for (const std::string& tenant : tenants) {
        add(tenant);
        add(tenant);
    }
    for (int i = 0; i < 20'000; ++i) {
        const auto id = queue.pop();
        REQUIRE(id.has_value());
        const auto [tenant, cost] = waiting.extract(*id).mapped();
        served[tenant] += cost;
        add(tenant);
    }
    for (const std::string& tenant : tenants) {
        CHECK(served[tenant] + kCostMax >= served["a"]);
        CHECK(served["a"] + kCostMax >= served[tenant]);
    }
}
