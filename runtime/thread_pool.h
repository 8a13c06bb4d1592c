// The engine's compute threads: the caller and threads - 1 helpers share the tiles of one region.
// Tiles are handed out one by one, so a helper that was descheduled delays at most its own tile.
// Invariant: which thread computes a tile never shows in the result; tiles write disjoint memory.
// Threading: parallel_for from one thread at a time. Idle helpers sleep in the kernel.
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

    uint32_t threads() const noexcept { return static_cast<uint32_t>(helpers_.size()) + 1; }

    // Calls body(tile) for every tile in [0, tiles), each once, and returns when all are done.
    template <typename Body>
    void parallel_for(uint32_t tiles, const Body& body) {
        if (tiles <= 1 || helpers_.empty()) {
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
    void help();
    void sleep_until_work();
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
    std::vector<std::thread> helpers_;
};

}  // namespace rekindle::runtime
