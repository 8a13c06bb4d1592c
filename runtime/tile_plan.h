// How the panels of a product are cut into tiles for the threads of a region.
#pragma once
#include <cstdint>
#include <vector>

namespace rekindle::runtime {

// Fills `ends` with where each tile ends; the first one begins at 0, the last one ends at `panels`,
// none is empty. Tiles get smaller: large ones at first, which read their inputs from cache many
// times, small ones at the end, so that no thread waits long for another's last one. (The threads
// of a virtual machine differ in speed by up to a factor of three for a while.)
void plan_tiles(uint32_t panels, uint32_t threads, std::vector<uint32_t>& ends);

}  // namespace rekindle::runtime
