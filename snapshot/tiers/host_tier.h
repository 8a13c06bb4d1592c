// Images in host memory: extents (memory files) filled by the loader, shared read-only with
// workers. A restore reads chunks in order through io_uring, verifies each one's XXH3 and opens its
// latch; many requests for one image share one restore. A failed restore wakes everybody with the
// reason. Threading: public members on any thread. One loader thread owns the ring.
#pragma once
#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "loader/chunk_store.h"
#include "loader/chunk_supply.h"
#include "loader/read_backend.h"
#include "snapshot/tiers/chunk_arrival.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace rekindle::snapshot {

struct HostTierOptions {
    uint64_t budget_bytes = 0;  // All extents together never exceed this.
    // Memory that stays when images leave, and that is touched ahead of need
    // (detail/extent_pool.h): as much at most, within the budget. 0: memory goes with its image.
    uint64_t kept_bytes = 0;
    uint64_t extent_bytes = 64ULL << 20;  // Whole pages; larger for an image of more than 120 of
                                          // them. Only where nothing is kept.
    // Memory files have pages of 4 KiB: weights are read into buffers in huge pages, checked there
    // and copied. Disks read into scattered pages at a third to two thirds of their rate.
    bool through_buffers = false;
    uint32_t queue_depth = 16;  // Reads of at most 1 MiB that are in flight together.
    // Of images that the store has not or not wholly; may be null. Outlives the tier, and has ended
    // every want() before the tier is destroyed.
    loader::ChunkSupply* supply = nullptr;
};

struct RestoreTimes {
    std::chrono::nanoseconds first_chunk{};  // From start of the restore.
    std::chrono::nanoseconds total{};
    uint64_t bytes_read = 0;
    uint64_t bytes_fetched = 0;  // Of chunks that came from elsewhere during the restore.
    bool from_memory = false;    // The image was resident: nothing was read.
    ChunkArrivals arrivals;      // Null when it was resident.
};

// An image that is resident or on its way. Hold a copy of this handle for as long as a worker maps
// the image: afterwards its memory becomes another image's.
class ResidentImage {
public:
    virtual ~ResidentImage() = default;
    virtual const std::string& digest() const noexcept = 0;
    virtual const std::string& index_json() const noexcept = 0;
    virtual uint64_t bytes() const noexcept = 0;

    // Read-only descriptors for a worker: extents in order, and the latches.
    struct Descriptors {
        std::vector<UniqueFd> extents;
        std::vector<uint64_t> extent_bytes;
        UniqueFd latches;
    };

    virtual Result<Descriptors> descriptors() const = 0;
    virtual bool complete() const noexcept = 0;
    virtual bool failed() const noexcept = 0;
    virtual RestoreTimes times() const = 0;  // Meaningful once complete.
};

class HostTier {
public:
    static Result<std::unique_ptr<HostTier>> create(loader::ChunkStore& store, const Clock& clock,
                                                    HostTierOptions options);
    // Reads through `backend` (which then decides the queue depth).
    static Result<std::unique_ptr<HostTier>> create(loader::ChunkStore& store, const Clock& clock,
                                                    HostTierOptions options,
                                                    std::unique_ptr<loader::ReadBackend> backend);
    // Waits for running restores, then CHECKs that no handle is left.
    virtual ~HostTier() = default;

    // Returns at once; the restore runs behind the latches. `done` is called once, on the loader
    // thread (or at once when the image is resident), with success or the reason of the failure.
    // kResourceExhausted names need and budget when the image cannot fit even after evicting every
    // image that nobody holds; kNotFound when the store has no such image. When acquire fails,
    // `done` is not called. A restore that fails says so through `done` and the latches, and the
    // next acquire starts afresh. `done` must not block.
    using Done = std::function<void(Result<RestoreTimes>)>;
    virtual Result<std::shared_ptr<ResidentImage>> acquire(const std::string& digest,
                                                           Done done) = 0;
    // Drops a resident image that nobody holds. kConflict while it is held.
    virtual Result<void> evict(const std::string& digest) = 0;
    // The next acquire reads the image from disk again, whoever holds it now: for one whose bytes
    // in memory are not to be trusted. Nothing when it is not whole.
    virtual void drop(const std::string& digest) = 0;
    virtual bool resident(const std::string& digest) const = 0;
    virtual uint64_t resident_bytes() const = 0;
    // Of extents that no image holds, and of what is made ahead of need.
    virtual uint64_t free_bytes() const = 0;
    // Makes memory for an image of this size ahead of need, within kept_bytes and the budget; takes
    // the place of what was said before.
    virtual void prepare(uint64_t image_bytes) = 0;
    // Waits until what was given back is zeroed and what was asked for is made.
    virtual void wait_until_prepared() = 0;
    // How much of the time, in percent (1 to 100, 100 at first), restores may keep the disk busy:
    // less than all of it while others are served from the same cores and memory.
    virtual void set_restore_share(uint32_t percent) = 0;
};

}  // namespace rekindle::snapshot
