#include "runtime/thread_pool.h"

#include "base/check.h"

#include <algorithm>
#include <immintrin.h>

namespace rekindle::runtime {
namespace {

// Regions of a step follow each other within a few microseconds, and waking a thread of a virtual
// machine takes some 50. In a step a helper therefore spins for as long as a step's longest serial
// part takes, and a little after one, for the next step of a busy engine comes soon. PAUSE takes 40
// (Zen 3) to 140 cycles (Intel since Skylake), so these are 0.2 to 1 ms, and 25 to 100 us.
constexpr uint32_t kStepPauses = 20'000;
constexpr uint32_t kGracePauses = 2'000;
// A caller that waits for the last tile of a descheduled helper must not keep it from its core.
constexpr uint32_t kDonePauses = 2'000;

constexpr uint32_t kTilesShift = 32;

uint32_t tiles_of(uint64_t tickets) noexcept {
    return static_cast<uint32_t>(tickets >> kTilesShift);
}

uint32_t next_of(uint64_t tickets) noexcept {
    return static_cast<uint32_t>(tickets);
}

}  // namespace

ThreadPool::ThreadPool(uint32_t threads) : width_(threads) {
    REKINDLE_CHECK(threads >= 1, "the caller itself is a thread of the pool");
    helpers_.reserve(threads - 1);
    for (uint32_t i = 1; i < threads; ++i) {
        helpers_.emplace_back([this, i] { help(i); });
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

void ThreadPool::set_threads(uint32_t threads) {
    const auto most = static_cast<uint32_t>(helpers_.size()) + 1;
    width_.store(std::clamp(threads, 1U, most));
    wakeups_.fetch_add(1);
    wakeups_.notify_all();
}

void ThreadPool::begin_step() {
    if (threads() == 1) {
        return;
    }
    in_step_.store(true);
    wakeups_.fetch_add(1);
    if (sleepers_.load() > 0) {
        wakeups_.notify_all();
    }
}

bool ThreadPool::may_work(uint32_t index) const noexcept {
    return index < width_.load(std::memory_order_relaxed);
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
    for (uint32_t i = 0; i < kDonePauses; ++i) {
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

void ThreadPool::help(uint32_t index) {
    while (!stopping_.load(std::memory_order_relaxed)) {
        const bool worked = may_work(index) && work_on_tiles();
        if (!worked && !spin_until_work(index)) {
            sleep_until_work(index);
        }
    }
}

// True when there may be something to do.
bool ThreadPool::spin_until_work(uint32_t index) {
    for (uint32_t i = 0; i < kStepPauses && may_work(index); ++i) {
        if (i >= kGracePauses && !in_step_.load(std::memory_order_relaxed)) {
            return false;
        }
        if (has_tiles() || stopping_.load(std::memory_order_relaxed)) {
            return true;
        }
        _mm_pause();
    }
    return false;
}

void ThreadPool::sleep_until_work(uint32_t index) {
    sleepers_.fetch_add(1);
    const uint32_t seen = wakeups_.load();
    const uint64_t tickets = tickets_.load();
    const bool work = may_work(index) && next_of(tickets) < tiles_of(tickets);
    if (!work && !stopping_.load()) {
        wakeups_.wait(seen);
    }
    sleepers_.fetch_sub(1);
}

}  // namespace rekindle::runtime
