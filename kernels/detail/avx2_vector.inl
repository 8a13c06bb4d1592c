// Eight floats in a register: the operations in which elementwise.inl and attention.inl are
// written, for AVX2, FMA and F16C. Partial loads and stores touch only the lanes they name.
#pragma once
#include "kernels/kernel_table.h"

#include <cstddef>
#include <cstdint>
#include <immintrin.h>

namespace rekindle::kernels::avx2 {
namespace {

struct Vector {
    static constexpr uint32_t kLanes = 8;
    static constexpr uint32_t kBlockVectors = kBlockColumns / kLanes;
    using Floats = __m256;

    static Floats all(float value) { return _mm256_set1_ps(value); }

    static Floats load(const float* place) { return _mm256_loadu_ps(place); }

    static void store(float* place, Floats x) { _mm256_storeu_ps(place, x); }

    // The first `count` lanes; zeros behind them.
    static Floats load_first(const float* place, uint32_t count) {
        return count >= kLanes ? load(place) : _mm256_maskload_ps(place, first_lanes(count));
    }

    static void store_first(float* place, Floats x, uint32_t count) {
        count >= kLanes ? store(place, x) : _mm256_maskstore_ps(place, first_lanes(count), x);
    }

    static Floats load_halves(const void* place) {
        return _mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(place)));
    }

    static void store_halves(void* place, Floats x) {
        _mm_storeu_si128(static_cast<__m128i*>(place),
                         _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
    }

    static Floats add(Floats a, Floats b) { return _mm256_add_ps(a, b); }

    static Floats sub(Floats a, Floats b) { return _mm256_sub_ps(a, b); }

    static Floats mul(Floats a, Floats b) { return _mm256_mul_ps(a, b); }

    static Floats div(Floats a, Floats b) { return _mm256_div_ps(a, b); }

    // The second operand where one is NaN.
    static Floats max(Floats a, Floats b) { return _mm256_max_ps(a, b); }

    // a * b + c, rounded once.
    static Floats fma(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }

    // Lanes [begin, end) of x, minus infinity elsewhere.
    static Floats keep(Floats x, uint32_t begin, uint32_t end) {
        const __m256i hidden = _mm256_or_si256(
            _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(begin)), lane_numbers()),
            _mm256_cmpgt_epi32(lane_numbers(), _mm256_set1_epi32(static_cast<int>(end) - 1)));
        return _mm256_blendv_ps(x, all(-__builtin_inff()), _mm256_castsi256_ps(hidden));
    }

    static float first_lane(Floats x) { return _mm256_cvtss_f32(x); }

    static float sum_lanes(Floats x) {
        __m128 half = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
        half = _mm_add_ps(half, _mm_movehl_ps(half, half));
        return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
    }

    // The largest lane, in all lanes.
    static Floats max_lanes(Floats x) {
        x = _mm256_max_ps(x, _mm256_permute2f128_ps(x, x, 1));
        x = _mm256_max_ps(x, _mm256_permute_ps(x, 0x4e));
        return _mm256_max_ps(x, _mm256_permute_ps(x, 0xb1));
    }

    // exp(x) within 2 units in the last place; 0 below -87, infinity above 88.4, NaN for NaN.
    // x = n ln 2 + r with ln 2 in two parts (Cody and Waite), then Cephes' polynomial for
    // |r| < 0.35.
    static Floats exp(Floats x) {
        const Floats clamped = _mm256_min_ps(all(89.0F), x);  // NaN stays, as the second operand.
        const Floats tiny = _mm256_cmp_ps(x, all(-87.0F), _CMP_LT_OQ);
        const Floats n = _mm256_round_ps(mul(clamped, all(0x1.715476p0F)),
                                         _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        Floats r = _mm256_fnmadd_ps(n, all(0.693359375F), clamped);
        r = _mm256_fnmadd_ps(n, all(-2.12194440e-4F), r);
        Floats p = fma(all(1.9875691500e-4F), r, all(1.3981999507e-3F));
        p = fma(p, r, all(8.3334519073e-3F));
        p = fma(p, r, all(4.1665795894e-2F));
        p = fma(p, r, all(1.6666665459e-1F));
        p = fma(p, r, all(5.0000001201e-1F));
        p = fma(p, mul(r, r), r);
        const __m256i power =
            _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
        const Floats result = mul(add(p, all(1.0F)), _mm256_castsi256_ps(power));
        return _mm256_andnot_ps(tiny, result);
    }

    // The first kLanes / 2 values, each twice: a pair has one angle.
    static Floats load_pairs(const float* place, uint32_t lanes) {
        const Floats four = lanes >= kLanes ? _mm256_castps128_ps256(_mm_loadu_ps(place))
                                            : _mm256_maskload_ps(place, first_lanes(lanes / 2));
        return _mm256_permutevar8x32_ps(four, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3));
    }

    // (x0 x1) -> (x0 cos - x1 sin, x0 sin + x1 cos) for each pair of lanes.
    static Floats rotate_pairs(Floats x, Floats cos, Floats sin) {
        return _mm256_fmaddsub_ps(x, cos, mul(_mm256_permute_ps(x, 0xb1), sin));
    }

    // One block to int8, as kernel_table.h defines it; x becomes what the rounding lost.
    static void quantize_block(Floats (&x)[kBlockVectors], int8_t* quants, float* scale,
                               int16_t* half_sums) {
        const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
        __m256i max = _mm256_setzero_si256();  // As bits: they order as the values, NaN above all.
        for (const Floats& part : x) {
            max = _mm256_max_epu32(max, _mm256_and_si256(_mm256_castps_si256(part), magnitude));
        }
        const uint32_t max_bits = max_lane_bits(max);
        const float largest = float_from_bits(max_bits);
        const bool special = max_bits >= 0x7f800000U || largest < kQuantizeFloor;
        *scale = max_bits >= 0x7f800000U ? float_from_bits(0x7fc00000U) : largest / 127.0F;
        *scale = largest < kQuantizeFloor ? 0.0F : *scale;
        const Floats inverse = all(special ? 0.0F : 127.0F / largest);
        __m256i rounded[kBlockVectors];
        for (uint32_t i = 0; i < kBlockVectors; ++i) {
            const __m256i quant = _mm256_cvtps_epi32(mul(x[i], inverse));
            rounded[i] = special ? _mm256_setzero_si256() : quant;
            x[i] = sub(x[i], mul(all(*scale), _mm256_cvtepi32_ps(rounded[i])));
        }
        store_quants(rounded, quants, half_sums);
    }

private:
    static __m256i lane_numbers() { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }

    static __m256i first_lanes(uint32_t count) {
        return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), lane_numbers());
    }

    static float float_from_bits(uint32_t bits) {
        float value = 0;
        __builtin_memcpy(&value, &bits, sizeof value);
        return value;
    }

    static uint32_t max_lane_bits(__m256i x) {
        __m128i half = _mm_max_epu32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
        half = _mm_max_epu32(half, _mm_shuffle_epi32(half, 0x4e));
        half = _mm_max_epu32(half, _mm_shuffle_epi32(half, 0xb1));
        return static_cast<uint32_t>(_mm_cvtsi128_si32(half));
    }

    static void store_quants(const __m256i (&rounded)[kBlockVectors], int8_t* quants,
                             int16_t* half_sums) {
        const __m256i pairs = _mm256_packs_epi16(_mm256_packs_epi32(rounded[0], rounded[1]),
                                                 _mm256_packs_epi32(rounded[2], rounded[3]));
        const __m256i bytes =
            _mm256_permutevar8x32_epi32(pairs, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(quants), bytes);
        // Sums of 4 bytes in 32-bit lanes, then of the 4 lanes of each half.
        const __m256i twos = _mm256_maddubs_epi16(_mm256_set1_epi8(1), bytes);
        __m256i sums = _mm256_madd_epi16(twos, _mm256_set1_epi16(1));
        sums = _mm256_add_epi32(sums, _mm256_shuffle_epi32(sums, 0x4e));
        sums = _mm256_add_epi32(sums, _mm256_shuffle_epi32(sums, 0xb1));
        half_sums[0] = static_cast<int16_t>(_mm256_cvtsi256_si32(sums));
        half_sums[1] = static_cast<int16_t>(_mm256_extract_epi32(sums, 4));
    }
};

}  // namespace
}  // namespace rekindle::kernels::avx2
