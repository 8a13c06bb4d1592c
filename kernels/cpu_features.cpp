#include "kernels/cpu_features.h"

#include <cpuid.h>

namespace rekindle::kernels {
namespace {

constexpr uint32_t bit(uint32_t index) {
    return 1U << index;
}

// Intel SDM volume 2A, CPUID; volume 1 section 13.3 for XCR0.
constexpr uint32_t kLeaf1Fma = bit(12);
constexpr uint32_t kLeaf1Osxsave = bit(27);
constexpr uint32_t kLeaf1Avx = bit(28);
constexpr uint32_t kLeaf1F16c = bit(29);
constexpr uint32_t kLeaf7Avx2 = bit(5);
constexpr uint32_t kLeaf7Avx512 = bit(16) | bit(17) | bit(30) | bit(31);  // F, DQ, BW, VL.
constexpr uint32_t kLeaf7Vnni = bit(11);
constexpr uint32_t kLeaf7AvxVnni = bit(4);     // Subleaf 1.
constexpr uint32_t kLeaf7Avx512Bf16 = bit(5);  // Subleaf 1.
constexpr uint64_t kXcr0Ymm = 0x06;            // SSE and AVX state.
constexpr uint64_t kXcr0Zmm = 0xe6;  // And mask registers, upper halves, registers 16 to 31.

constexpr bool has_all(uint64_t word, uint64_t wanted) {
    return (word & wanted) == wanted;
}

uint64_t read_xcr0() {
    uint32_t low = 0;
    uint32_t high = 0;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t{high} << 32) | low;
}

CpuWords read_cpu_words() {
    CpuWords words;
    uint32_t eax = 0;
    uint32_t ebx = 0;
    uint32_t ecx = 0;
    uint32_t edx = 0;
    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0) {
        words.leaf1_ecx = ecx;
    }
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0) {
        words.leaf7_ebx = ebx;
        words.leaf7_ecx = ecx;
        const uint32_t last_subleaf = eax;
        if (last_subleaf >= 1 && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0) {
            words.leaf7_1_eax = eax;
        }
    }
    if (has_all(words.leaf1_ecx, kLeaf1Osxsave)) {
        words.xcr0 = read_xcr0();
    }
    return words;
}

}  // namespace

CpuFeatures decode_cpu_features(const CpuWords& words) noexcept {
    CpuFeatures features;
    const bool saves_ymm = has_all(words.leaf1_ecx, kLeaf1Osxsave) && has_all(words.xcr0, kXcr0Ymm);
    features.avx2 = saves_ymm && has_all(words.leaf1_ecx, kLeaf1Avx | kLeaf1Fma | kLeaf1F16c) &&
                    has_all(words.leaf7_ebx, kLeaf7Avx2);
    features.avx_vnni = features.avx2 && has_all(words.leaf7_1_eax, kLeaf7AvxVnni);
    features.avx512_vnni = features.avx2 && has_all(words.xcr0, kXcr0Zmm) &&
                           has_all(words.leaf7_ebx, kLeaf7Avx512) &&
                           has_all(words.leaf7_ecx, kLeaf7Vnni);
    features.avx512_bf16 = features.avx512_vnni && has_all(words.leaf7_1_eax, kLeaf7Avx512Bf16);
    return features;
}

const CpuFeatures& cpu_features() noexcept {
    static const CpuFeatures features = decode_cpu_features(read_cpu_words());
    return features;
}

}  // namespace rekindle::kernels
