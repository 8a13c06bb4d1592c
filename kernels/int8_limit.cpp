#include "kernels/int8_limit.h"

namespace rekindle::kernels {
namespace {

// Twelve independent chains are more than latency times throughput of any core so far. The
// assembly is the measurement: a compiler would see through intrinsics on constant registers.
constexpr uint64_t kChains = 12;
constexpr uint64_t kYmmOperations = kChains * 32 * 2;  // Bytes of a register; products and sums.
constexpr uint64_t kZmmOperations = kChains * 64 * 2;

// 256-bit vpmaddubsw, and the vpaddw that adds its pairs to a sum six instructions later. Loads,
// wider sums and scales are not counted: no kernel can do without them, so none reaches the limit.
__attribute__((target("avx2"))) void run_avx2(uint64_t rounds) noexcept {
    for (uint64_t half = 0; half < 2 * rounds; ++half) {
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

// 256-bit vpdpbusd, which adds its products to a sum by itself.
__attribute__((target("avx2,avxvnni"))) void run_avx_vnni(uint64_t rounds) noexcept {
    for (uint64_t round = 0; round < rounds; ++round) {
        __asm__ volatile(
            "%{vex%} vpdpbusd %%ymm14, %%ymm15, %%ymm0\n\t"
            "%{vex%} vpdpbusd %%ymm14, %%ymm15, %%ymm1\n\t"
            "%{vex%} vpdpbusd %%ymm14, %%ymm15, %%ymm2\n\t"
            "%{vex%} vpdpbusd %%ymm14, %%ymm15, %%ymm3\n\t"
            "%{vex%} vpdpbusd %%ymm14, %%ymm15, %%ymm4\n\t"
            "%{vex%} vpdpbusd %%ymm14, %%ymm15, %%ymm5\n\t"
            "%{vex%} vpdpbusd %%ymm14, %%ymm15, %%ymm6\n\t"
            "%{vex%} vpdpbusd %%ymm14, %%ymm15, %%ymm7\n\t"
            "%{vex%} vpdpbusd %%ymm14, %%ymm15, %%ymm8\n\t"
            "%{vex%} vpdpbusd %%ymm14, %%ymm15, %%ymm9\n\t"
            "%{vex%} vpdpbusd %%ymm14, %%ymm15, %%ymm10\n\t"
            "%{vex%} vpdpbusd %%ymm14, %%ymm15, %%ymm11\n\t"
            :
            :
            : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
              "xmm10", "xmm11");
    }
}

// The same in 512 bits.
__attribute__((target("avx512f,avx512vnni"))) void run_avx512_vnni(uint64_t rounds) noexcept {
    for (uint64_t round = 0; round < rounds; ++round) {
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

}  // namespace

uint64_t run_int8_chains(const KernelTable& table, uint64_t rounds) noexcept {
    if (table.name == "avx512_vnni" || table.name == "avx512_bf16") {
        run_avx512_vnni(rounds);
        return rounds * kZmmOperations;
    }
    if (table.name == "avx_vnni") {
        run_avx_vnni(rounds);
        return rounds * kYmmOperations;
    }
    if (table.name == "avx2") {
        run_avx2(rounds);
        return rounds * kYmmOperations;
    }
    return 0;
}

}  // namespace rekindle::kernels
