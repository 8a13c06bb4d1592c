#include "tests/bench/kernel_limits.h"

#include "kernels/kernel_table.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <thread>
#include <vector>

namespace rekindle::tests {
namespace {

constexpr int kAttempts = 2000;           // Short ones: some run without being interrupted.
constexpr uint64_t kRounds = 10'000;      // Some 30 microseconds.
constexpr size_t kReadBytes = 256 << 20;  // Beyond every cache.
constexpr uint32_t kChains = 12;          // Independent ones: more than latency times throughput.

// Seconds of the fastest attempt.
template <typename Work>
double best_seconds(int attempts, const Work& work) {
    double best = 1e9;
    for (int attempt = 0; attempt < attempts; ++attempt) {
        const auto start = std::chrono::steady_clock::now();
        work();
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
        best = std::min(best, took.count());
    }
    return best;
}

__attribute__((target("avx512f,avx512vnni"))) void run_vnni_chains() {
    for (uint64_t round = 0; round < kRounds; ++round) {
        __asm__ volatile(
            "vpdpbusd %%zmm30, %%zmm31, %%zmm0\n\t"
            "vpdpbusd %%zmm30, %%zmm31, %%zmm1\n\t"
            "vpdpbusd %%zmm30, %%zmm31, %%zmm2\n\t"
            "vpdpbusd %%zmm30, %%zmm31, %%zmm3\n\t"
            "vpdpbusd %%zmm30, %%zmm31, %%zmm4\n\t"
            "vpdpbusd %%zmm30, %%zmm31, %%zmm5\n\t"
            "vpdpbusd %%zmm30, %%zmm31, %%zmm6\n\t"
            "vpdpbusd %%zmm30, %%zmm31, %%zmm7\n\t"
            "vpdpbusd %%zmm30, %%zmm31, %%zmm8\n\t"
            "vpdpbusd %%zmm30, %%zmm31, %%zmm9\n\t"
            "vpdpbusd %%zmm30, %%zmm31, %%zmm10\n\t"
            "vpdpbusd %%zmm30, %%zmm31, %%zmm11\n\t"
            :
            :
            : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
              "xmm10", "xmm11");
    }
}

// Every product is added to a sum six instructions later, when it is there.
__attribute__((target("avx2"))) void run_maddubs_chains() {
    for (uint64_t round = 0; round < kRounds; ++round) {
        for (int half = 0; half < 2; ++half) {
            __asm__ volatile(
                "vpmaddubsw %%ymm15, %%ymm14, %%ymm0\n\t"
                "vpaddw %%ymm5, %%ymm11, %%ymm11\n\t"
                "vpmaddubsw %%ymm15, %%ymm14, %%ymm1\n\t"
                "vpaddw %%ymm0, %%ymm6, %%ymm6\n\t"
                "vpmaddubsw %%ymm15, %%ymm14, %%ymm2\n\t"
                "vpaddw %%ymm1, %%ymm7, %%ymm7\n\t"
                "vpmaddubsw %%ymm15, %%ymm14, %%ymm3\n\t"
                "vpaddw %%ymm2, %%ymm8, %%ymm8\n\t"
                "vpmaddubsw %%ymm15, %%ymm14, %%ymm4\n\t"
                "vpaddw %%ymm3, %%ymm9, %%ymm9\n\t"
                "vpmaddubsw %%ymm15, %%ymm14, %%ymm5\n\t"
                "vpaddw %%ymm4, %%ymm10, %%ymm10\n\t"
                :
                :
                : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                  "xmm10", "xmm11");
        }
    }
}

// The sum keeps the compiler from leaving the reads out.
uint64_t sum_words(const uint64_t* words, size_t count) {
    uint64_t sums[8] = {};
    for (size_t i = 0; i < count; i += 8) {
        for (size_t lane = 0; lane < 8; ++lane) {
            sums[lane] += words[i + lane];
        }
    }
    uint64_t sum = 0;
    for (const uint64_t part : sums) {
        sum += part;
    }
    return sum;
}

}  // namespace

double int8_limit(std::string_view table) {
    if (kernels::find_kernel_table(table) == nullptr) {
        return 0;
    }
    if (table == "avx512_vnni") {
        return kRounds * kChains * 64.0 * 2 / best_seconds(kAttempts, run_vnni_chains);
    }
    if (table == "avx2") {
        return kRounds * kChains * 32.0 * 2 / best_seconds(kAttempts, run_maddubs_chains);
    }
    return 0;
}

double memory_read_limit(uint32_t threads) {
    constexpr size_t kWords = kReadBytes / sizeof(uint64_t);
    constexpr int kPasses = 10;
    const std::vector<uint64_t> words(kWords, 1);
    const size_t each = kWords / threads / 8 * 8;
    std::atomic<uint64_t> total = 0;
    const double seconds = best_seconds(kPasses, [&] {
        std::vector<std::jthread> readers;
        for (uint32_t i = 1; i < threads; ++i) {
            readers.emplace_back([&, i] { total += sum_words(words.data() + i * each, each); });
        }
        total += sum_words(words.data(), each);
    });
    return static_cast<double>(each * threads * sizeof(uint64_t)) / seconds;
}

}  // namespace rekindle::tests
