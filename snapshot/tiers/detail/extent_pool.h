// The memory files that images are restored into. They are kept when images leave: fresh memory
// costs 1 to 3 s per GB at its first touch, memory that was touched before costs nothing, so the
// pool also touches some ahead of need. What an image leaves behind is zeroed before it is given to
// another one.
// Invariant: what images hold, what is free and what is being made never exceed the budget.
// Threading: all members from any thread; one thread of its own zeroes and makes extents when
// something is kept. Ownership: extents move out and come back; shares live shorter than the pool.
#pragma once
#include "base/result.h"
#include "base/unique_fd.h"

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <utility>
#include <vector>

namespace rekindle::snapshot {

// After this, nobody (we neither) can resize the file, map it writable anew, write() to it or punch
// holes; the mapping that exists stays writable.
Result<void> seal_memory_file(const UniqueFd& fd);

// A sealed memory file and the only mapping that can write it.
struct Extent {
    UniqueFd fd;
    Mapping mapping;     // Moved into an image's address space while an image holds it.
    uint64_t bytes = 0;  // Whole pages.
};

// Moves the mapping of `extent`, its page tables included, over a reservation at `place`.
Result<void> move_extent_in(Extent& extent, std::byte* place);
// And back into address space of its own. What is at `place` afterwards may not be touched.
Result<void> move_extent_out(Extent& extent, const std::byte* place);

class ExtentPool {
public:
    struct Options {
        uint64_t budget_bytes = 0;
        uint64_t kept_bytes = 0;    // Free extents; 0: memory goes with its image.
        uint64_t extent_bytes = 0;  // Without keeping: as large as this, the last one as needed.
    };

    // Bytes of the budget, given back when destroyed. Extents taken under it must be gone by then.
    class [[nodiscard]] Share {
    public:
        Share(ExtentPool& pool, uint64_t bytes) noexcept : pool_(&pool), bytes_(bytes) {}

        Share(Share&& other) noexcept
            : pool_(std::exchange(other.pool_, nullptr)), bytes_(other.bytes_) {}

        Share& operator=(Share&&) = delete;

        ~Share() {
            if (pool_ != nullptr) {
                pool_->release(bytes_);
            }
        }

    private:
        ExtentPool* pool_;
        uint64_t bytes_;
    };

    explicit ExtentPool(Options options);
    ExtentPool(const ExtentPool&) = delete;
    ExtentPool& operator=(const ExtentPool&) = delete;
    // CHECKs that nothing is held.
    ~ExtentPool();

    // Sizes of the extents of an image, in order: at most 120 of them.
    std::vector<uint64_t> sizes_for(uint64_t image_bytes) const;

    // Nothing when `bytes` do not fit beside what images hold; then what is given back until the
    // next reserve() is kept for it, whatever kept_bytes says.
    std::optional<Share> reserve(uint64_t bytes);
    // Nobody waits for room any more.
    void give_up_reserving();
    // Zeroed extents of these sizes, under a share that covers them: kept ones first, then fresh
    // ones that nobody has touched.
    Result<std::vector<Extent>> take(std::span<const uint64_t> sizes);
    // On any thread, without waiting for memory.
    void give_back(std::vector<Extent> extents);

    // From now on, extents for an image of this size are made ahead of need, as far as kept_bytes
    // and the budget allow.
    void prepare(uint64_t image_bytes);
    // Waits until nothing is left to zero or to make.
    void wait_until_idle();

    uint64_t held_bytes() const;  // By images.
    uint64_t free_bytes() const;  // Kept, and being made.

private:
    // What take() finds: of another image still, or to be ended for the budget's sake.
    struct Picked {
        std::vector<Extent> clean;
        std::vector<Extent> dirty;
        std::vector<Extent> dropped;
    };

    Picked pick(std::span<const uint64_t> sizes);
    void release(uint64_t bytes);
    void run_keeper();
    // ---- All of these expect the lock ----
    // Zeroes, drops or makes one extent, without the lock; false when there is nothing to do.
    bool keep_one(std::unique_lock<std::mutex>& lock);
    bool zero_one(std::unique_lock<std::mutex>& lock);
    bool drop_one(std::unique_lock<std::mutex>& lock);
    bool make_one(std::unique_lock<std::mutex>& lock);
    void ask_keeper();
    // A size of ahead_ that clean_ lacks.
    std::optional<uint64_t> missing_ahead() const;
    // A free extent that ahead_ does not need.
    std::optional<Extent> take_superfluous();
    // The last resort: any free extent.
    std::optional<Extent> take_any();
    uint64_t kept_most() const noexcept;
    uint64_t free_locked() const noexcept;

    const Options options_;
    mutable std::mutex mutex_;
    std::condition_variable changed_;  // For the keeper and for those that wait for it.
    uint64_t held_ = 0;
    uint64_t working_ = 0;       // Bytes that the keeper zeroes or makes.
    uint64_t wanted_ = 0;        // By a reserve() that found no room.
    std::vector<Extent> clean_;  // Zeroed and touched.
    std::vector<Extent> dirty_;
    std::vector<uint64_t> ahead_;  // Sizes to have in clean_.
    uint64_t asked_ = 0;           // Reasons for the keeper to look again.
    uint64_t answered_ = 0;        // Those after which it found nothing to do.
    bool failed_ = false;          // Making ahead failed: not tried again.
    bool stopping_ = false;
    std::thread keeper_;  // Last: uses all of the above.
};

}  // namespace rekindle::snapshot
