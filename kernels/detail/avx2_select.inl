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

// What turns logits of one row into weights.
struct Weights {
    __m256 best;
    __m256 scale;     // Of exponents of 2.
    __m256 farthest;  // From `best`, negative: what lies further away has this one's weight.

    Weights(float row_best, float row_scale) {
        constexpr float kFarthest = -86.0F;  // exp(-86) is no denormal yet: 2^-124.
        best = _mm256_set1_ps(row_best);
        scale = _mm256_set1_ps(row_scale * kLog2e);
        farthest = _mm256_set1_ps(kFarthest / row_scale);
    }

    // exp, to 3e-7: 2^n 2^f with n the nearest integer and a polynomial for 2^f, |f| <= 0.5, whose
    // greatest relative error (7.5e-8) is the least of its degree. Taken in pairs of terms: the
    // scheduler holds the instructions of few vectors, so that the length of this chain is what a
    // row's time is made of.
    [[gnu::always_inline]] __m256 operator()(__m256 x) const {
        // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
        const __m256 magic = _mm256_set1_ps(12582912.0F);
        // NaN gets the farthest, as max's second operand.
        const __m256 distance = _mm256_max_ps(_mm256_sub_ps(x, best), farthest);
        const __m256 shifted = _mm256_fmadd_ps(distance, scale, magic);
        const __m256 f = _mm256_fmsub_ps(distance, scale, _mm256_sub_ps(shifted, magic));
        const __m256 high = pair(0x1.5c08e6p-10F, 0x1.3d0c54p-7F, f);
        const __m256 middle = pair(0x1.c6b6e4p-5F, 0x1.ebf918p-3F, f);
        const __m256 low = pair(0x1.62e428p-1F, 0x1.000002p+0F, f);
        const __m256 square = _mm256_mul_ps(f, f);
        const __m256 p = _mm256_fmadd_ps(_mm256_fmadd_ps(high, square, middle), square, low);
        const __m256i exponent = _mm256_slli_epi32(_mm256_castps_si256(shifted), 23);
        return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), exponent));
    }

private:
    [[gnu::always_inline]] static __m256 pair(float factor, float constant, __m256 f) {
        return _mm256_fmadd_ps(_mm256_set1_ps(factor), f, _mm256_set1_ps(constant));
    }
};

// One vector after the other: with several in turn the constants leave too few registers. Of a
// row's last block the tail is apart for the same reason.
[[gnu::always_inline]] inline float block_exp_sum(const float* x, const Weights& weights) {
    __m256 sum = _mm256_setzero_ps();
#pragma clang loop unroll(disable)
    for (uint32_t i = 0; i < kSelectBlock; i += kSelectLanes) {
        sum = _mm256_add_ps(sum, weights(_mm256_loadu_ps(x + i)));
    }
    return sum_lanes(sum);
}

[[gnu::noinline]] inline float part_block_exp_sum(const float* x, uint32_t count,
                                                  const Weights& weights) {
    __m256 sum = _mm256_setzero_ps();
    for (uint32_t i = 0; i < count; i += kSelectLanes) {
        const __m256 part =
            count - i < kSelectLanes ? load_front(x + i, count - i) : _mm256_loadu_ps(x + i);
        sum = _mm256_add_ps(sum, weights(part));
    }
    return sum_lanes(sum);
}

// Of what lies above the threshold.
[[gnu::always_inline]] inline float block_exp_sum_above(const float* x, uint32_t count,
                                                        const Weights& weights, __m256 threshold) {
    __m256 sum = _mm256_setzero_ps();
    for (uint32_t i = 0; i < count; i += kSelectLanes) {
        const __m256 part =
            count - i < kSelectLanes ? load_front(x + i, count - i) : _mm256_loadu_ps(x + i);
        const __m256 above = _mm256_cmp_ps(part, threshold, _CMP_GT_OQ);
        sum = _mm256_add_ps(sum, _mm256_and_ps(weights(part), above));
    }
    return sum_lanes(sum);
}

}  // namespace
}  // namespace rekindle::kernels::avx2
