#include "base/random.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <set>
#include <vector>

using namespace rekindle;  // NOLINT(google-build-using-namespace): a test.

TEST_CASE("a counter's value depends on seed, stream and counter alone") {
    CHECK(counter_random(1, 2, 3) == counter_random(1, 2, 3));
    std::set<uint64_t> values;
    for (uint64_t seed = 0; seed < 20; ++seed) {
        for (uint64_t stream = 0; stream < 20; ++stream) {
            for (uint64_t counter = 0; counter < 20; ++counter) {
                values.insert(counter_random(seed, stream, counter));
            }
        }
    }
    CHECK(values.size() == 8000);
}

TEST_CASE("neighbouring counters share no bits: each flips half of them") {
    uint64_t flipped = 0;
    for (uint64_t i = 0; i < 10'000; ++i) {
        const uint64_t both = counter_random(9, 0, i) ^ counter_random(9, 0, i + 1);
        flipped += static_cast<uint64_t>(std::popcount(both));
    }
    CHECK(flipped > 10'000 * 31);
    CHECK(flipped < 10'000 * 33);
}

TEST_CASE("uniform values fill [0, 1) evenly") {
    std::array<int, 16> buckets{};
    for (uint64_t i = 0; i < 160'000; ++i) {
        const double value = counter_uniform(5, 6, i);
        REQUIRE(value >= 0.0);
        REQUIRE(value < 1.0);
        ++buckets[static_cast<size_t>(value * 16)];
    }
    for (const int count : buckets) {  // 10,000 each; six standard deviations are 581.
        CHECK(count > 9400);
        CHECK(count < 10'600);
    }
}

TEST_CASE("seeded entropy repeats itself, and other seeds differ") {
    std::array<std::byte, 37> a{};
    std::array<std::byte, 37> b{};
    SeededEntropy(3).fill(a);
    SeededEntropy(3).fill(b);
    CHECK(a == b);
    SeededEntropy(4).fill(b);
    CHECK(a != b);
}

TEST_CASE("the system's entropy fills everything, and nothing for an empty span") {
    SystemEntropy entropy;
    entropy.fill({});
    std::vector<std::byte> first(1000);
    std::vector<std::byte> second(1000);
    entropy.fill(first);
    entropy.fill(second);
    CHECK(first != second);
    CHECK(std::count(first.begin(), first.end(), std::byte{0}) < 30);
}
