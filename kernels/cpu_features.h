// Which vector extensions may be used here: the processor has them (CPUID) *and* the operating
// system saves their registers (XCR0). The decoding is a pure function of those words, so that
// tests can show it any machine. Threading: all functions are safe from any thread.
#pragma once
#include <cstdint>

namespace rekindle::kernels {

// Raw words; zero where the processor has no such leaf.
struct CpuWords {
    uint32_t leaf1_ecx = 0;
    uint32_t leaf7_ebx = 0;
    uint32_t leaf7_ecx = 0;
    uint32_t leaf7_1_eax = 0;  // Of subleaf 1.
    uint64_t xcr0 = 0;         // Zero unless leaf 1 says OSXSAVE.
};

struct CpuFeatures {
    bool avx2 = false;         // With FMA and F16C.
    bool avx_vnni = false;     // VNNI in AVX's encoding, on top of avx2.
    bool avx512_vnni = false;  // AVX-512 F, BW, DQ, VL and VNNI, on top of avx2.
    bool avx512_bf16 = false;  // On top of avx512_vnni.
};

CpuFeatures decode_cpu_features(const CpuWords& words) noexcept;
// Of the machine that this runs on; read once.
const CpuFeatures& cpu_features() noexcept;

}  // namespace rekindle::kernels
