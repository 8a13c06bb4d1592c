#include "scheduler/scale/core_shares.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

using rekindle::scheduler::share_cores;

using Shares = std::vector<uint32_t>;

TEST_CASE("one busy worker has all cores, and so has an idle one for its next request") {
    CHECK(share_cores(4, Shares{0, 7, 0}) == Shares{4, 4, 4});
    CHECK(share_cores(4, Shares{0, 0}) == Shares{4, 4});
    CHECK(share_cores(4, Shares{}).empty());
}

TEST_CASE("busy workers get equal parts, and the rest goes to the busiest") {
    CHECK(share_cores(2, Shares{1, 5}) == Shares{1, 1});
    CHECK(share_cores(8, Shares{1, 1}) == Shares{4, 4});
    CHECK(share_cores(8, Shares{1, 9, 2}) == Shares{2, 3, 3});
    CHECK(share_cores(3, Shares{1, 1}) == Shares{2, 1});
}

TEST_CASE("more busy workers than cores have one thread each") {
    CHECK(share_cores(2, Shares{1, 1, 1, 0}) == Shares{1, 1, 1, 2});
    CHECK(share_cores(1, Shares{3, 3}) == Shares{1, 1});
}
