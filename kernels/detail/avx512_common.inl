// Loads and masks that the AVX-512 bodies share. For files that are
// compiled for AVX-512; internal linkage and no library templates, see README.md.
#pragma once
#include <cstddef>
#include <cstdint>
#include <immintrin.h>

namespace rekindle::kernels::avx512_vnni {
namespace {

constexpr uint32_t kLanes = 16;  // Floats in a 512-bit register.

// The first `count` lanes; all 16 from there on.
[[gnu::always_inline]] inline __mmask16 first_lanes(uint32_t count) {
    return count >= kLanes ? static_cast<__mmask16>(0xffff)
                           : static_cast<__mmask16>((1U << count) - 1U);
}

[[gnu::always_inline]] inline __m512i load_bytes(const void* place) {
    return _mm512_loadu_si512(place);
}

// 16 F16 values, exactly.
[[gnu::always_inline]] inline __m512 load_halves(const void* place) {
    __m256i halves;
    __builtin_memcpy(&halves, place, sizeof halves);
    return _mm512_cvtph_ps(halves);
}

// Four int8 or two int16 of one token for all 16 rows; becomes the embedded broadcast of the
// instruction.
[[gnu::always_inline]] inline __m512i broadcast_quants(const void* quants) {
    int32_t word = 0;
    __builtin_memcpy(&word, quants, sizeof word);
    return _mm512_set1_epi32(word);
}

}  // namespace
}  // namespace rekindle::kernels::avx512_vnni
