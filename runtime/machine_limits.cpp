#include "runtime/machine_limits.h"

#include "base/units.h"
#include "kernels/int8_limit.h"
#include "runtime/aligned_buffer.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

namespace rekindle::runtime {
namespace {

constexpr uint64_t kReadBytes = 64 * kMiB;  // Of each thread: beyond any second-level cache share.
// A pass reads the next slice, a millisecond or two: as short as those below, and by the time that
// a slice comes again, more than any cache holds was read.
constexpr uint64_t kSliceBytes = 8 * kMiB;
constexpr uint32_t kReadPasses = 40;
// Half a millisecond each: of so many short passes some run without being interrupted.
constexpr uint64_t kInt8Rounds = 200'000;
constexpr uint32_t kInt8Passes = 40;

double seconds(Nanoseconds time) noexcept {
    return std::chrono::duration<double>(time).count();
}

uint64_t read_all(const uint64_t* words, size_t count) noexcept {
    constexpr size_t kLanes = 16;  // Two cache lines: as much as is in flight per iteration.
    uint64_t lanes[kLanes] = {};
    for (size_t i = 0; i < count; i += kLanes) {
        for (size_t lane = 0; lane < kLanes; ++lane) {
            lanes[lane] |= words[i + lane];
        }
    }
    uint64_t sum = 0;
    for (const uint64_t lane : lanes) {
        sum |= lane;
    }
    return sum;
}

// One pass: every thread runs work(thread, pass), all from the same moment on. Seconds to the last
// end.
template <typename Work>
double time_pass(uint32_t pass, uint32_t threads, const Clock& clock, const Work& work) {
    std::atomic<uint32_t> arrived{0};
    std::vector<Nanoseconds> begun(threads);
    std::vector<Nanoseconds> ended(threads);
    std::vector<std::jthread> helpers;
    for (uint32_t i = 0; i < threads; ++i) {
        helpers.emplace_back([&, i] {
            ++arrived;
            while (arrived < threads) {
                std::this_thread::yield();
            }
            begun[i] = clock.monotonic();
            work(i, pass);
            ended[i] = clock.monotonic();
        });
    }
    helpers.clear();  // Joins.
    return seconds(*std::ranges::max_element(ended) - *std::ranges::min_element(begun));
}

// The shortest of `passes`: whoever else uses the machine can only lengthen them.
template <typename Work>
double best_pass(uint32_t passes, uint32_t threads, const Clock& clock, const Work& work) {
    double best = time_pass(0, threads, clock, work);
    for (uint32_t pass = 1; pass < passes; ++pass) {
        best = std::min(best, time_pass(pass, threads, clock, work));
    }
    return best;
}

}  // namespace

double measure_memory_read(uint32_t threads, const Clock& clock) {
    constexpr size_t kWords = kReadBytes / sizeof(uint64_t);
    constexpr size_t kSliceWords = kSliceBytes / sizeof(uint64_t);
    AlignedBuffer<uint64_t> memory(kWords * threads);
    std::fill_n(memory.data(), memory.size(), 1);  // Untouched pages would all be one.
    std::atomic<uint64_t> sink{0};
    const double took = best_pass(kReadPasses, threads, clock, [&](uint32_t i, uint32_t pass) {
        const size_t slice = pass % (kWords / kSliceWords) * kSliceWords;
        sink |= read_all(memory.data() + i * kWords + slice, kSliceWords);
    });
    return static_cast<double>(kSliceBytes * threads) / took;
}

double measure_int8(const kernels::KernelTable& kernels, uint32_t threads, const Clock& clock) {
    if (kernels::run_int8_chains(kernels, 1) == 0) {
        return 0;
    }
    const uint64_t operations = threads * kernels::run_int8_chains(kernels, kInt8Rounds);
    const double took =
        best_pass(kInt8Passes, threads, clock, [&](uint32_t /*thread*/, uint32_t /*pass*/) {
            kernels::run_int8_chains(kernels, kInt8Rounds);
        });
    return static_cast<double>(operations) / took;
}

}  // namespace rekindle::runtime
