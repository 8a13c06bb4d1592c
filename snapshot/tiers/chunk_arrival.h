// When a chunk of an image came into memory, for those who show a restore.
#pragma once
#include "base/clock.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace rekindle::snapshot {

// The chunk is in its place and its checksum matched.
struct ChunkArrival {
    uint64_t offset = 0;  // In the image space.
    uint64_t bytes = 0;
    Nanoseconds at{};
};

// Of one restore, in order; shared by all who joined it.
using ChunkArrivals = std::shared_ptr<const std::vector<ChunkArrival>>;

}  // namespace rekindle::snapshot
