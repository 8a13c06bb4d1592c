// What sampling asks of a row of logits, for AVX2: maxima and sums of exp by block, and the places
// above a threshold. Tails go through the same instructions, padded with minus infinity, so that a
// block's bits do not depend on where the row ends.
#pragma once
#include "kernels/kernel_table.h"

#include <cstddef>
#include <cstdint>
#include <immintrin.h>

namespace rekindle::kernels::avx2 {
namespace {

constexpr uint32_t kSelectLanes = 8;
static_assert(kSelectBlock % (4 * kSelectLanes) == 0);

constexpr float kLog2e = 0x1.715476p0F;

// 2^x for x in [-126, 0], to 3e-7: 2^n 2^f with n the nearest integer, Cephes' polynomial for 2^f.
[[gnu::always_inline]] inline __m256 exp2_not_positive(__m256 x) {
    // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
    const __m256 magic = _mm256_set1_ps(12582912.0F);
    const __m256 shifted = _mm256_add_ps(x, magic);
    const __m256 f = _mm256_sub_ps(x, _mm256_sub_ps(shifted, magic));
    __m256 p = _mm256_set1_ps(1.535336188319500e-4F);
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(1.339887440266574e-3F));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(9.618437357674640e-3F));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(5.550332471162809e-2F));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(2.402264791363012e-1F));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(6.931472028550421e-1F));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(1.0F));
    const __m256i exponent = _mm256_slli_epi32(_mm256_castps_si256(shifted), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), exponent));
}

// Up to kSelectLanes floats, the rest minus infinity.
[[gnu::always_inline]] inline __m256 load_front(const float* x, uint32_t count) {
    const __m256 below = _mm256_set1_ps(-__builtin_inff());
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i wanted = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), lane);
    return _mm256_blendv_ps(below, _mm256_maskload_ps(x, wanted), _mm256_castsi256_ps(wanted));
}

// The same order of additions whatever the block holds.
[[gnu::always_inline]] inline float sum_lanes(__m256 v) {
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    four = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
}

[[gnu::always_inline]] inline float max_lanes(__m256 v) {
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    four = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
}

// max(x, kept) gives `kept` when x is NaN, and kept never is.
[[gnu::always_inline]] inline float block_maximum(const float* x, uint32_t count) {
    __m256 kept[4];
    for (__m256& lanes : kept) {
        lanes = _mm256_set1_ps(-__builtin_inff());
    }
    uint32_t i = 0;
    for (; i + 4 * kSelectLanes <= count; i += 4 * kSelectLanes) {
        for (uint32_t part = 0; part < 4; ++part) {
            kept[part] = _mm256_max_ps(_mm256_loadu_ps(x + i + part * kSelectLanes), kept[part]);
        }
    }
    for (; i < count; i += kSelectLanes) {
        kept[0] = _mm256_max_ps(load_front(x + i, count - i), kept[0]);
    }
    return max_lanes(
        _mm256_max_ps(_mm256_max_ps(kept[0], kept[1]), _mm256_max_ps(kept[2], kept[3])));
}

// Zero for what is negligible or not a number. scale: of exponents of 2.
[[gnu::always_inline]] inline __m256 weights(__m256 x, __m256 best, __m256 scale) {
    const __m256 least = _mm256_set1_ps(-kNegligibleWeight * kLog2e);
    const __m256 distance = _mm256_mul_ps(_mm256_sub_ps(x, best), scale);
    const __m256 counts = _mm256_cmp_ps(distance, least, _CMP_GT_OQ);
    return _mm256_and_ps(exp2_not_positive(_mm256_max_ps(distance, least)), counts);
}

[[gnu::always_inline]] inline float block_exp_sum(const float* x, uint32_t count, __m256 best,
                                                  __m256 scale) {
    __m256 sums[4];
    for (__m256& lanes : sums) {
        lanes = _mm256_setzero_ps();
    }
    uint32_t i = 0;
    for (; i + 4 * kSelectLanes <= count; i += 4 * kSelectLanes) {
        for (uint32_t part = 0; part < 4; ++part) {
            const __m256 values = _mm256_loadu_ps(x + i + part * kSelectLanes);
            sums[part] = _mm256_add_ps(sums[part], weights(values, best, scale));
        }
    }
    for (; i < count; i += kSelectLanes) {
        sums[0] = _mm256_add_ps(sums[0], weights(load_front(x + i, count - i), best, scale));
    }
    return sum_lanes(
        _mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3])));
}

}  // namespace
}  // namespace rekindle::kernels::avx2
