#include "runtime/tile_plan.h"

#include <doctest/doctest.h>

namespace rekindle::runtime {
namespace {

TEST_CASE("tiles cover all panels, none is empty, and they don't grow") {
    std::vector<uint32_t> ends;
    for (const uint32_t threads : {1U, 2U, 3U, 16U, 64U}) {
        for (uint32_t panels = 1; panels < 400; ++panels) {
            plan_tiles(panels, threads, ends);
            CAPTURE(panels);
            CAPTURE(threads);
            uint32_t begin = 0;
            uint32_t before = panels;
            for (const uint32_t end : ends) {
                REQUIRE(end > begin);
                REQUIRE(end - begin <= before);
                before = end - begin;
                begin = end;
            }
            REQUIRE(begin == panels);
        }
    }
}

TEST_CASE("one thread gets one tile, and no panels make none") {
    std::vector<uint32_t> ends;
    plan_tiles(3072, 1, ends);
    CHECK(ends == std::vector<uint32_t>{3072});
    plan_tiles(0, 2, ends);
    CHECK(ends.empty());
}

TEST_CASE("the last tile is a small part of a thread's share") {
    std::vector<uint32_t> ends;
    for (const uint32_t threads : {2U, 8U, 64U}) {
        const uint32_t panels = threads * 96;
        plan_tiles(panels, threads, ends);
        CHECK(ends[0] == 48);
        CHECK(ends[ends.size() - 1] - ends[ends.size() - 2] <= 4);
        CHECK(ends.size() <= threads * 24);
    }
}

}  // namespace
}  // namespace rekindle::runtime
