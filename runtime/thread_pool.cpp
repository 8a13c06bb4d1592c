#include "runtime/thread_pool.h"

#include "base/check.h"

#include <immintrin.h>

namespace rekindle::runtime {
namespace {

// About 20 us of PAUSE at 140 cycles each (Intel since Skylake; AMD pauses for less). Regions of a
// step follow each other within a few microseconds, and a futex wake costs about 5.
constexpr uint32_t kSpinPauses = 400;

constexpr uint32_t kTilesShift = 32;

uint32_t tiles_of(uint64_t tickets) noexcept {
    return static_cast<uint32_t>(tickets >> kTilesShift);
}

uint32_t next_of(uint64_t tickets) noexcept {
    return static_cast<uint32_t>(tickets);
}

}  // namespace

ThreadPool::ThreadPool(uint32_t threads) {
    REKINDLE_CHECK(threads >= 1, "the caller itself is a thread of the pool");
    helpers_.reserve(threads - 1);
    for (uint32_t i = 1; i < threads; ++i) {
        helpers_.emplace_back([this] { help(); });
    }
}

ThreadPool::~ThreadPool() {
    stopping_.store(true);
    wakeups_.fetch_add(1);
    wakeups_.notify_all();
    for (std::thread& helper : helpers_) {
        helper.join();
    }
}

bool ThreadPool::has_tiles() const noexcept {
    const uint64_t tickets = tickets_.load(std::memory_order_relaxed);
    return next_of(tickets) < tiles_of(tickets);
}

void ThreadPool::run(uint32_t tiles, Call call, const void* context) {
    call_ = call;
    context_ = context;
    done_.store(0, std::memory_order_relaxed);
    // Sequentially consistent with sleep_until_work(): either the helper sees the tickets, or this
    // thread sees the sleeper.
    tickets_.store(static_cast<uint64_t>(tiles) << kTilesShift);
    wakeups_.fetch_add(1);
    if (sleepers_.load() > 0) {
        wakeups_.notify_all();
    }
    work_on_tiles();
    wait_until_done(tiles);
}

// Takes tiles until none is left; false if there was none.
bool ThreadPool::work_on_tiles() {
    bool worked = false;
    while (has_tiles()) {
        // Acquire: a valid ticket shows the call_ and context_ of its region.
        const uint64_t ticket = tickets_.fetch_add(1, std::memory_order_acq_rel);
        const uint32_t tiles = tiles_of(ticket);
        if (next_of(ticket) >= tiles) {
            break;
        }
        call_(context_, next_of(ticket));
        worked = true;
        const bool last = done_.fetch_add(1) + 1 == tiles;
        if (last && caller_sleeps_.load()) {
            done_.notify_one();
        }
    }
    return worked;
}

void ThreadPool::wait_until_done(uint32_t tiles) {
    for (uint32_t i = 0; i < kSpinPauses; ++i) {
        if (done_.load(std::memory_order_acquire) == tiles) {
            return;
        }
        _mm_pause();
    }
    caller_sleeps_.store(true);
    for (uint32_t done = done_.load(); done != tiles; done = done_.load()) {
        done_.wait(done);
    }
    caller_sleeps_.store(false);
}

void ThreadPool::help() {
    while (!stopping_.load(std::memory_order_relaxed)) {
        if (work_on_tiles()) {
            continue;
        }
        bool found = false;
        for (uint32_t i = 0; i < kSpinPauses && !found; ++i) {
            _mm_pause();
            found = has_tiles() || stopping_.load(std::memory_order_relaxed);
        }
        if (!found) {
            sleep_until_work();
        }
    }
}

void ThreadPool::sleep_until_work() {
    sleepers_.fetch_add(1);
    const uint32_t seen = wakeups_.load();
    const uint64_t tickets = tickets_.load();
    if (next_of(tickets) >= tiles_of(tickets) && !stopping_.load()) {
        wakeups_.wait(seen);
    }
    sleepers_.fetch_sub(1);
}

}  // namespace rekindle::runtime
