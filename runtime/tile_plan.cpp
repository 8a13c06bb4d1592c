#include "runtime/tile_plan.h"

#include <algorithm>

namespace rekindle::runtime {
namespace {

// A tile takes this part of a thread's share of what is left.
constexpr uint32_t kTilesPerShare = 2;
// The smallest tile is this part of a thread's share of the whole: handing one out takes 100 ns.
constexpr uint32_t kTilesPerThreadMax = 24;

}  // namespace

void plan_tiles(uint32_t panels, uint32_t threads, std::vector<uint32_t>& ends) {
    ends.clear();
    const uint32_t least = std::max(1U, panels / threads / kTilesPerThreadMax);
    for (uint32_t begin = 0; begin < panels; begin = ends.back()) {
        const uint32_t left = panels - begin;
        const uint32_t share = threads == 1 ? left : left / threads / kTilesPerShare;
        ends.push_back(begin + std::min(left, std::max(share, least)));
    }
}

}  // namespace rekindle::runtime
