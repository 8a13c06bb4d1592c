// The memory of one image: its extents, mapped writable and contiguously, and its latches. The
// files are sealed before anybody gets a descriptor, so that only this mapping can ever write them.
// Threading: share() from any thread. Ownership: owns files and mappings.
#pragma once
#include "base/result.h"
#include "base/unique_fd.h"
#include "snapshot/tiers/detail/extent_pool.h"
#include "snapshot/tiers/host_tier.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace rekindle::snapshot {

class ImageMemory {
public:
    // The extents of an image, and the bytes of budget that they and the latches take.
    struct Need {
        std::vector<uint64_t> extents;
        size_t chunks = 0;
        uint64_t bytes = 0;
    };

    static Need need_of(const ExtentPool& pool, uint64_t image_bytes, size_t chunks);
    // Under a share of the pool's budget that covers the need.
    static Result<ImageMemory> allocate(ExtentPool& pool, const Need& need, uint64_t image_bytes);

    ImageMemory(ImageMemory&&) noexcept = default;
    ImageMemory& operator=(ImageMemory&&) = delete;
    // The extents go back to the pool: no worker may map them any more.
    ~ImageMemory();

    std::span<std::byte> space() noexcept { return space_; }

    std::span<uint32_t> latches() noexcept { return latches_; }

    Result<ResidentImage::Descriptors> share() const;

private:
    struct Piece {
        Extent extent;
        uint64_t offset = 0;  // In the space.
        uint64_t used = 0;    // Bytes of it that are the image's: all, but in the last one.
    };

    explicit ImageMemory(ExtentPool& pool) : pool_(&pool) {}

    Result<void> place(std::vector<Extent> extents, uint64_t image_bytes);
    Result<void> add_latches(size_t chunks);

    ExtentPool* pool_;
    Mapping whole_;  // Address space of whole extents.
    std::vector<Piece> pieces_;
    UniqueFd latch_fd_;
    std::span<std::byte> space_;  // The image's part of it.
    Mapping latch_mapping_;
    std::span<uint32_t> latches_;  // One per chunk.
};

}  // namespace rekindle::snapshot
