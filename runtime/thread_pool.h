// The engine's compute threads: the caller and threads - 1 helpers share the tiles of one region.
// Tiles are handed out one by one, so a helper that was descheduled delays at most its own tile.
// Invariant: which thread computes a tile never shows in the result; tiles write disjoint memory.
// Between the regions of one step helpers spin, for the next one comes within microseconds; between
// steps, and when the process was granted fewer cores, they sleep in the kernel.
// Threading: every member from one thread at a time.
#pragma once
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace rekindle::runtime {

class ThreadPool {
public:
    // threads >= 1; 1 starts none and runs everything on the caller.
    explicit ThreadPool(uint32_t threads);
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;
    ~ThreadPool();

    uint32_t threads() const noexcept { return width_.load(std::memory_order_relaxed); }

    // How many threads work from the next region on, the caller included: 1 to what the pool was
    // made with; more is taken as that.
    void set_threads(uint32_t threads);

    // A step begins: helpers stay awake until it ends.
    void begin_step();
    void end_step() noexcept { in_step_.store(false, std::memory_order_relaxed); }

    // Calls body(tile) for every tile in [0, tiles), each once, and returns when all are done.
    template <typename Body>
    void parallel_for(uint32_t tiles, const Body& body) {
        if (tiles <= 1 || threads() == 1) {
            for (uint32_t tile = 0; tile < tiles; ++tile) {
                body(tile);
            }
            return;
        }
        run(
            tiles,
            [](const void* context, uint32_t tile) { (*static_cast<const Body*>(context))(tile); },
            &body);
    }

private:
    using Call = void (*)(const void* context, uint32_t tile);

    void run(uint32_t tiles, Call call, const void* context);
    void help(uint32_t index);
    bool spin_until_work(uint32_t index);
    void sleep_until_work(uint32_t index);
    bool may_work(uint32_t index) const noexcept;
    bool work_on_tiles();
    void wait_until_done(uint32_t tiles);
    bool has_tiles() const noexcept;

    // The region in progress. Written by the caller only while no tile is handed out.
    Call call_ = nullptr;
    const void* context_ = nullptr;
    // High half: tiles of the region; low half: the next one to hand out. A ticket taken from it is
    // valid if next < tiles; the region cannot end before each valid ticket was worked off.
    alignas(64) std::atomic<uint64_t> tickets_{0};
    alignas(64) std::atomic<uint32_t> done_{0};  // Tiles finished in this region.
    std::atomic<bool> caller_sleeps_{false};
    alignas(64) std::atomic<uint32_t> wakeups_{0};  // Counts regions; helpers sleep on it.
    std::atomic<uint32_t> sleepers_{0};
    std::atomic<bool> stopping_{false};
    std::atomic<bool> in_step_{false};
    std::atomic<uint32_t> width_;  // Threads that may work; helper i (from 1) does if i < width_.
    std::vector<std::thread> helpers_;
};

}  // namespace rekindle::runtime
