// Eight floats in a register: the operations in which elementwise.inl and attention.inl are
// written, for AVX2, FMA and F16C. Partial loads and stores touch only the lanes they name.
#pragma once
#include "kernels/detail/block_scale.inl"
#include "kernels/kernel_table.h"

#include <cstddef>
#include <cstdint>
#include <immintrin.h>

namespace rekindle::kernels::avx2 {
namespace {

struct Vector {
    static constexpr uint32_t kLanes = 8;
    static constexpr uint32_t kBlockGroup = 4;  // Blocks whose scales are divided together.
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

    static Floats load_bfloats(const void* place) {
        const __m128i words = _mm_loadu_si128(static_cast<const __m128i*>(place));
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(words), 16));
    }

    // To nearest even; NaN stays one.
    static void store_bfloats(void* place, Floats x) {
        const __m256i bits = _mm256_castps_si256(x);
        const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
        const __m256i rounded =
            _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
        const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
        const Floats nan = _mm256_cmp_ps(x, x, _CMP_UNORD_Q);
        const Floats chosen =
            _mm256_blendv_ps(_mm256_castsi256_ps(rounded), _mm256_castsi256_ps(quiet), nan);
        const __m256i words = _mm256_srli_epi32(_mm256_castps_si256(chosen), 16);
        _mm_storeu_si128(
            static_cast<__m128i*>(place),
            _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
    }

    static Floats load_int8(const void* place) {
        const __m128i bytes = _mm_loadl_epi64(static_cast<const __m128i*>(place));
        return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
    }

    // To nearest even; x within [-127.5, 127.5).
    static void store_int8(void* place, Floats x) {
        const __m256i rounded = _mm256_cvtps_epi32(x);
        const __m128i words =
            _mm_packs_epi32(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256(rounded, 1));
        _mm_storel_epi64(static_cast<__m128i*>(place), _mm_packs_epi16(words, words));
    }

    // Of n values, a multiple of 16, as bits.
    static uint32_t largest_magnitude(const float* values, uint32_t n) {
        return max_lane_bits(max_magnitudes(values, n));
    }

    static Floats add(Floats a, Floats b) { return _mm256_add_ps(a, b); }

    static Floats sub(Floats a, Floats b) { return _mm256_sub_ps(a, b); }

    static Floats mul(Floats a, Floats b) { return _mm256_mul_ps(a, b); }

    static Floats div(Floats a, Floats b) { return _mm256_div_ps(a, b); }

    // The second operand where one is NaN.
    static Floats max(Floats a, Floats b) { return _mm256_max_ps(a, b); }

    // a * b + c, rounded once.
    static Floats fma(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }

    // Keeps the compiler from starting what follows before these are there. With 3 x 4 accumulators
    // four of the 16 registers are left, and it would load four vectors at once and spill.
    static void settle(Floats& a, Floats& b, Floats& c) {
        __asm__ volatile("" : "+x"(a), "+x"(b), "+x"(c) : : "memory");
    }

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

    // exp(x) within 2 units in the last place; exp(-87) below that, infinity above 88.4, NaN for
    // NaN. x = n ln 2 + r with ln 2 in two parts (Cody and Waite), then Cephes' polynomial for |r|
    // < 0.35.
    template <uint32_t kVectors>
    static void exp(Floats (&x)[kVectors]) {
        Floats t[kVectors];
        Floats p[kVectors];
        const auto each = [](const auto& step) __attribute__((always_inline)) {
#pragma clang loop unroll(full)
            for (uint32_t v = 0; v < kVectors; ++v) {
                step(v);
            }
        };
        each([&](uint32_t v) __attribute__((always_inline)) {
            // NaN stays, as the second operand.
            x[v] = max(all(-87.0F), _mm256_min_ps(all(89.0F), x[v]));
            t[v] = fma(x[v], all(0x1.715476p0F), all(kRound));
        });
        each([&](uint32_t v) __attribute__((always_inline)) {
            const Floats n = sub(t[v], all(kRound));
            x[v] = _mm256_fnmadd_ps(n, all(0.693359375F), x[v]);
            x[v] = _mm256_fnmadd_ps(n, all(-2.12194440e-4F), x[v]);
            p[v] = all(1.9875691500e-4F);
        });
        constexpr float kTerms[] = {1.3981999507e-3F, 8.3334519073e-3F, 4.1665795894e-2F,
                                    1.6666665459e-1F, 5.0000001201e-1F};
#pragma clang loop unroll(full)
        for (const float term : kTerms) {
            each([&](uint32_t v)
                     __attribute__((always_inline)) { p[v] = fma(p[v], x[v], all(term)); });
        }
        each([&](uint32_t v) __attribute__((always_inline)) {
            p[v] = fma(p[v], mul(x[v], x[v]), x[v]);
            x[v] = mul(add(p[v], all(1.0F)), power_of_two(t[v]));
        });
    }

    // 2^x for x <= 0 within 2 * 2^-23 of it; about 2^-126 below -126, NaN for NaN. x = n + r, and
    // Cephes' polynomial for |r| <= 0.5, whose own error is 1.7e-7.
    static Floats exp2_negative(Floats x) {
        x = max(all(-126.0F), x);  // NaN stays, as the second operand.
        const Floats t = add(x, all(kRound));
        const Floats r = sub(x, sub(t, all(kRound)));
        Floats p = fma(all(1.535336188e-4F), r, all(1.339887440e-3F));
        p = fma(p, r, all(9.618437357e-3F));
        p = fma(p, r, all(5.550332471e-2F));
        p = fma(p, r, all(2.402264791e-1F));
        p = fma(p, r, all(6.931472028e-1F));
        p = fma(p, r, all(1.0F));
        return mul(p, power_of_two(t));
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

    // kBlockGroup blocks to int8, as kernel_table.h defines it: quants [4][32], scales [4],
    // half_sums [4][2].
    static void quantize_group(const float* values, int8_t* quants, float* scales,
                               int16_t* half_sums) {
        __m256i largest[kBlockGroup];
        for (uint32_t block = 0; block < kBlockGroup; ++block) {
            largest[block] = max_magnitudes(values + block * kBlockColumns, kBlockColumns);
        }
        const __m128i bits = max_lanes_of_four(largest);
        const __m128i finite = _mm_cmplt_epi32(bits, _mm_set1_epi32(0x7f800000));
        if (_mm_movemask_epi8(finite) != 0xffff) {
            for (uint32_t block = 0; block < kBlockGroup; ++block) {
                const size_t first = static_cast<size_t>(block) * kBlockColumns;
                quantize_block(values + first, quants + first, scales + block,
                               half_sums + 2 * block);
            }
            return;
        }
        const __m128 max = _mm_castsi128_ps(bits);
        const __m128 tiny = _mm_cmplt_ps(max, _mm_set1_ps(kQuantizeFloor));
        const __m128 steps = _mm_set1_ps(127.0F);
        _mm_storeu_ps(scales, _mm_andnot_ps(tiny, _mm_div_ps(max, steps)));
        alignas(16) float inverse[kBlockGroup];
        _mm_store_ps(inverse, _mm_andnot_ps(tiny, _mm_div_ps(steps, max)));
        __m256i sums[kBlockGroup];
        for (uint32_t block = 0; block < kBlockGroup; ++block) {
            const size_t first = static_cast<size_t>(block) * kBlockColumns;
            sums[block] = round_block(values + first, inverse[block], quants + first);
        }
        // Sums of the four blocks' first halves, then of their second ones.
        const __m256i halves = _mm256_hadd_epi32(_mm256_hadd_epi32(sums[0], sums[1]),
                                                 _mm256_hadd_epi32(sums[2], sums[3]));
        const __m128i second = _mm_slli_epi32(_mm256_extracti128_si256(halves, 1), 16);
        const __m128i pairs = _mm_blend_epi16(_mm256_castsi256_si128(halves), second, 0xaa);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(half_sums), pairs);
    }

    // One block.
    static void quantize_block(const float* values, int8_t* quants, float* scale,
                               int16_t* half_sums) {
        const BlockScale factors = block_scale(largest_magnitude(values, kBlockColumns), 127.0F);
        *scale = factors.scale;
        if (factors.inverse == 0) {
            __builtin_memset(quants, 0, kBlockColumns);
            half_sums[0] = 0;
            half_sums[1] = 0;
            return;
        }
        const __m256i sums = sum_of_four_lanes(round_block(values, factors.inverse, quants));
        half_sums[0] = static_cast<int16_t>(_mm256_cvtsi256_si32(sums));
        half_sums[1] = static_cast<int16_t>(_mm256_extract_epi32(sums, 4));
    }

    // One block to int16.
    static void quantize_block16(const float* values, int16_t* quants, float* scale,
                                 int32_t (&half_sums)[2]) {
        const BlockScale factors =
            block_scale(largest_magnitude(values, kBlockColumns), kQuant16Max);
        *scale = factors.scale;
        if (factors.inverse == 0) {
            __builtin_memset(quants, 0, kBlockColumns * sizeof *quants);
            half_sums[0] = 0;
            half_sums[1] = 0;
            return;
        }
        const __m256i order = _mm256_broadcastsi128_si256(
            _mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15));
        for (uint32_t half = 0; half < 2; ++half) {
            const uint32_t first = half * 2 * kLanes;
            const __m256i low = round_vector(values + first, factors.inverse);
            const __m256i high = round_vector(values + first + kLanes, factors.inverse);
            const __m256i mixed = _mm256_packs_epi32(low, high);  // Fours 0, 2, 1, 3.
            const __m256i words = _mm256_permute4x64_epi64(mixed, 0xd8);
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(quants + first),
                                _mm256_shuffle_epi8(words, order));
            const __m256i sums = sum_of_four_lanes(_mm256_add_epi32(low, high));
            half_sums[half] = _mm256_cvtsi256_si32(sums) + _mm256_extract_epi32(sums, 4);
        }
    }

private:
    static constexpr uint32_t kBlockVectors = kBlockColumns / kLanes;
    static constexpr float kRound = 0x1.8p23F;  // Added, it leaves an integer in the lowest bits.

    // Sums of lanes 0 to 3 and of lanes 4 to 7.
    static __m256i sum_of_four_lanes(__m256i x) {
        x = _mm256_add_epi32(x, _mm256_shuffle_epi32(x, 0x4e));
        return _mm256_add_epi32(x, _mm256_shuffle_epi32(x, 0xb1));
    }

    static __m256i lane_numbers() { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }

    static __m256i first_lanes(uint32_t count) {
        return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), lane_numbers());
    }

    // 2^n of t = n + kRound.
    static Floats power_of_two(Floats t) {
        const __m256i n = _mm256_slli_epi32(_mm256_castps_si256(t), 23);
        return _mm256_castsi256_ps(_mm256_add_epi32(n, _mm256_set1_epi32(127 << 23)));
    }

    // Of n values, in eight lanes, as bits: they order as the values do, NaN above all.
    static __m256i max_magnitudes(const float* values, uint32_t n) {
        const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
        __m256i max = _mm256_setzero_si256();
        for (uint32_t i = 0; i < n; i += kLanes) {
            const __m256i bits = _mm256_castps_si256(load(values + i));
            max = _mm256_max_epu32(max, _mm256_and_si256(bits, magnitude));
        }
        return max;
    }

    static uint32_t max_lane_bits(__m256i x) {
        __m128i half = _mm_max_epu32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
        half = _mm_max_epu32(half, _mm_shuffle_epi32(half, 0x4e));
        half = _mm_max_epu32(half, _mm_shuffle_epi32(half, 0xb1));
        return static_cast<uint32_t>(_mm_cvtsi128_si32(half));
    }

    // Lane i: the largest lane of x[i].
    static __m128i max_lanes_of_four(const __m256i (&x)[4]) {
        const __m256i a = max_of_halves(x[0], x[1]);  // Four lanes of x[0], four of x[1].
        const __m256i b = max_of_halves(x[2], x[3]);
        const __m256i pairs = _mm256_max_epu32(_mm256_unpacklo_epi64(a, b),  // Of 0, 2, 1, 3.
                                               _mm256_unpackhi_epi64(a, b));
        const __m256i all = _mm256_max_epu32(pairs, _mm256_shuffle_epi32(pairs, 0xb1));
        return _mm_blend_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1), 0xa);
    }

    static __m256i max_of_halves(__m256i x, __m256i y) {
        return _mm256_max_epu32(_mm256_permute2x128_si256(x, y, 0x20),
                                _mm256_permute2x128_si256(x, y, 0x31));
    }

    static __m256i round_vector(const float* values, float inverse) {
        return _mm256_cvtps_epi32(mul(load(values), all(inverse)));
    }

    // Stores a block's quants; gives the sums of fours.
    static __m256i round_block(const float* values, float inverse, int8_t* quants) {
        __m256i rounded[kBlockVectors];
        for (uint32_t i = 0; i < kBlockVectors; ++i) {
            rounded[i] = round_vector(values + i * kLanes, inverse);
        }
        const __m256i mixed = _mm256_packs_epi16(_mm256_packs_epi32(rounded[0], rounded[1]),
                                                 _mm256_packs_epi32(rounded[2], rounded[3]));
        const __m256i bytes =
            _mm256_permutevar8x32_epi32(mixed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(quants), bytes);
        const __m256i twos = _mm256_maddubs_epi16(_mm256_set1_epi8(1), bytes);
        return _mm256_madd_epi16(twos, _mm256_set1_epi16(1));
    }
};

}  // namespace
}  // namespace rekindle::kernels::avx2
