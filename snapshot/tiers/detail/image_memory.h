// The memory of one image: its extents, mapped writable and contiguously, and its latches. The
// files are sealed before anybody gets a descriptor, so that only this mapping can ever write them.
// Threading: share() from any thread. Ownership: owns files and mappings.
#pragma once
#include "base/result.h"
#include "base/unique_fd.h"
#include "snapshot/tiers/host_tier.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace rekindle::snapshot {

class ImageMemory {
public:
    // Bytes that count against the budget.
    static uint64_t total_bytes(uint64_t image_bytes, size_t chunks) noexcept;
    // Pages are allocated when they are first written.
    static Result<ImageMemory> allocate(uint64_t image_bytes, size_t chunks, uint64_t extent_bytes);

    std::span<std::byte> space() noexcept { return space_.span(); }

    std::span<uint32_t> latches() noexcept { return latches_; }

    Result<ResidentImage::Descriptors> share() const;

private:
    struct Extent {
        UniqueFd fd;
        uint64_t bytes = 0;
    };

    ImageMemory() = default;
    Result<void> add_extent(uint64_t offset, uint64_t bytes);
    Result<void> add_latches(size_t chunks);

    std::vector<Extent> extents_;
    UniqueFd latch_fd_;
    Mapping space_;
    Mapping latch_mapping_;
    std::span<uint32_t> latches_;  // One per chunk.
};

}  // namespace rekindle::snapshot
