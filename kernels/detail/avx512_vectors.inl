// Element-wise work, norms and exp for AVX-512. Tails are masked and go through the same
// instructions, so an element's bits don't depend on its place or on the vector's length.
#pragma once
#include "kernels/detail/avx512_common.inl"
#include "kernels/kernel_table.h"

namespace rekindle::kernels::avx512_vnni {
namespace {

// exp(x) within 2 units in the last place; 0 below -104, infinity above 88.73, NaN for NaN.
// x = n ln 2 + r with ln 2 in two parts (Cody and Waite), then Cephes' polynomial for |r| < 0.35.
[[gnu::always_inline]] inline __m512 exp_lanes(__m512 x) {
    // NaN stays: max and min return their second operand then.
    const __m512 above = _mm512_max_ps(_mm512_set1_ps(-105.0F), x);
    const __m512 clamped = _mm512_min_ps(_mm512_set1_ps(90.0F), above);
    const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(clamped, _mm512_set1_ps(0x1.715476p0F)),
                                          _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375F), clamped);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4F), r);
    __m512 p = _mm512_set1_ps(1.9875691500e-4F);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.3981999507e-3F));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(8.3334519073e-3F));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(4.1665795894e-2F));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.6666665459e-1F));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.0000001201e-1F));
    p = _mm512_fmadd_ps(p, _mm512_mul_ps(r, r), r);
    return _mm512_scalef_ps(_mm512_add_ps(p, _mm512_set1_ps(1.0F)), n);
}

// The largest magnitude of a block, as bits (they order as the values do, NaN above all).
[[gnu::always_inline]] inline uint32_t max_magnitude_bits(__m512 low, __m512 high) {
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    const __m512i a = _mm512_and_si512(_mm512_castps_si512(low), magnitude);
    const __m512i b = _mm512_and_si512(_mm512_castps_si512(high), magnitude);
    return _mm512_reduce_max_epu32(_mm512_max_epu32(a, b));
}

[[gnu::always_inline]] inline float float_from_bits(uint32_t bits) {
    float value = 0;
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
}

[[gnu::always_inline]] inline void quantize_block(const float* values, int8_t* quants, float& scale,
                                                  int16_t* half_sums) {
    const __m512 low = _mm512_loadu_ps(values);
    const __m512 high = _mm512_loadu_ps(values + kLanes);
    const uint32_t max_bits = max_magnitude_bits(low, high);
    const float max = float_from_bits(max_bits);
    if (max_bits >= 0x7f800000U || max < kQuantizeFloor) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(quants), _mm256_setzero_si256());
        scale = max_bits >= 0x7f800000U ? float_from_bits(0x7fc00000U) : 0.0F;
        half_sums[0] = 0;
        half_sums[1] = 0;
        return;
    }
    const __m512 inverse = _mm512_set1_ps(127.0F / max);
    const __m512i a = _mm512_cvtps_epi32(_mm512_mul_ps(low, inverse));
    const __m512i b = _mm512_cvtps_epi32(_mm512_mul_ps(high, inverse));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(quants), _mm512_cvtepi32_epi8(a));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(quants + kLanes), _mm512_cvtepi32_epi8(b));
    scale = max / 127.0F;
    half_sums[0] = static_cast<int16_t>(_mm512_reduce_add_epi32(a));
    half_sums[1] = static_cast<int16_t>(_mm512_reduce_add_epi32(b));
}

// Sum of squares: lane i of accumulator j takes elements 64 m + 16 j + i, in ascending m.
[[gnu::always_inline]] inline float sum_of_squares(const float* x, uint32_t n) {
    constexpr uint32_t kChains = 4;  // Covers the latency of the fused multiply-add.
    __m512 acc[kChains];
    for (uint32_t j = 0; j < kChains; ++j) {
        acc[j] = _mm512_setzero_ps();
    }
    for (uint32_t i = 0; i < n; i += kChains * kLanes) {
        for (uint32_t j = 0; j < kChains; ++j) {
            const uint32_t first = i + j * kLanes;
            const __mmask16 mask = first < n ? first_lanes(n - first) : static_cast<__mmask16>(0);
            const __m512 value = _mm512_maskz_loadu_ps(mask, x + first);
            acc[j] = _mm512_fmadd_ps(value, value, acc[j]);
        }
    }
    return _mm512_reduce_add_ps(
        _mm512_add_ps(_mm512_add_ps(acc[0], acc[1]), _mm512_add_ps(acc[2], acc[3])));
}

// Eight rotated pairs (x0 x1) -> (x0 cos - x1 sin, x0 sin + x1 cos); `mask` has two lanes a pair.
[[gnu::always_inline]] inline void rotate_pairs(float* pairs, const float* cos, const float* sin,
                                                __mmask16 mask) {
    const __m512i twice = _mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
    // Lane 2i of the mask stands for pair i, so compressing it to lanes 0 to 7 masks the tables.
    const auto pair_mask = first_lanes(static_cast<uint32_t>(__builtin_popcount(mask)) / 2);
    const __m512 c = _mm512_permutexvar_ps(twice, _mm512_maskz_loadu_ps(pair_mask, cos));
    const __m512 s = _mm512_permutexvar_ps(twice, _mm512_maskz_loadu_ps(pair_mask, sin));
    const __m512 x = _mm512_maskz_loadu_ps(mask, pairs);
    const __m512 swapped = _mm512_permute_ps(x, 0xb1);
    _mm512_mask_storeu_ps(pairs, mask, _mm512_fmaddsub_ps(x, c, _mm512_mul_ps(swapped, s)));
}

}  // namespace
}  // namespace rekindle::kernels::avx512_vnni
