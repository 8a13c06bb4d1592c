// Sixteen floats in a register: the operations in which elementwise.inl and attention.inl are
// written, for AVX-512. Partial loads and stores touch only the lanes they name.
#pragma once
#include "kernels/detail/avx512_common.inl"
#include "kernels/detail/block_scale.inl"
#include "kernels/kernel_table.h"

namespace rekindle::kernels::avx512_vnni {
namespace {

struct Vector {
    static constexpr uint32_t kLanes = 16;
    static constexpr uint32_t kBlockGroup = 1;
    using Floats = __m512;

    static Floats all(float value) { return _mm512_set1_ps(value); }

    static Floats load(const float* place) { return _mm512_loadu_ps(place); }

    static void store(float* place, Floats x) { _mm512_storeu_ps(place, x); }

    // The first `count` lanes; zeros behind them.
    static Floats load_first(const float* place, uint32_t count) {
        return _mm512_maskz_loadu_ps(first_lanes(count), place);
    }

    static void store_first(float* place, Floats x, uint32_t count) {
        _mm512_mask_storeu_ps(place, first_lanes(count), x);
    }

    static Floats load_halves(const void* place) { return avx512_vnni::load_halves(place); }

    static void store_halves(void* place, Floats x) {
        _mm256_storeu_si256(static_cast<__m256i*>(place),
                            _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
    }

    static Floats load_bfloats(const void* place) {
        __m256i words;
        __builtin_memcpy(&words, place, sizeof words);
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(words), 16));
    }

    // To nearest even; NaN stays one.
    static void store_bfloats(void* place, Floats x) {
        const __m512i bits = _mm512_castps_si512(x);
        const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
        const __m512i rounded =
            _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
        const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
        const Floats chosen =
            _mm512_mask_mov_ps(_mm512_castsi512_ps(rounded), _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q),
                               _mm512_castsi512_ps(quiet));
        const __m512i words = _mm512_srli_epi32(_mm512_castps_si512(chosen), 16);
        _mm256_storeu_si256(static_cast<__m256i*>(place), _mm512_cvtepi32_epi16(words));
    }

    static Floats load_int8(const void* place) {
        const __m128i bytes = _mm_loadu_si128(static_cast<const __m128i*>(place));
        return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
    }

    // To nearest even; x within [-127.5, 127.5).
    static void store_int8(void* place, Floats x) {
        _mm_storeu_si128(static_cast<__m128i*>(place), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x)));
    }

    // Of n values, a multiple of 16, as bits: they order as the values do, NaN above all.
    static uint32_t largest_magnitude(const float* values, uint32_t n) {
        const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
        __m512i max = _mm512_setzero_si512();
        for (uint32_t i = 0; i < n; i += kLanes) {
            const __m512i bits = _mm512_castps_si512(load(values + i));
            max = _mm512_max_epu32(max, _mm512_and_si512(bits, magnitude));
        }
        return _mm512_reduce_max_epu32(max);
    }

    static Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }

    static Floats sub(Floats a, Floats b) { return _mm512_sub_ps(a, b); }

    static Floats mul(Floats a, Floats b) { return _mm512_mul_ps(a, b); }

    static Floats div(Floats a, Floats b) { return _mm512_div_ps(a, b); }

    // The second operand where one is NaN.
    static Floats max(Floats a, Floats b) { return _mm512_max_ps(a, b); }

    // a * b + c, rounded once.
    static Floats fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }

    // Nothing to do with 32 registers, see avx2_vector.inl.
    static void settle(Floats&, Floats&, Floats&) {}

    // Lanes [begin, end) of x, minus infinity elsewhere.
    static Floats keep(Floats x, uint32_t begin, uint32_t end) {
        const auto visible = static_cast<__mmask16>(first_lanes(end) & ~first_lanes(begin));
        return _mm512_mask_mov_ps(all(-__builtin_inff()), visible, x);
    }

    static float first_lane(Floats x) { return _mm512_cvtss_f32(x); }

    static float sum_lanes(Floats x) { return _mm512_reduce_add_ps(x); }

    // The largest lane, in all lanes.
    static Floats max_lanes(Floats x) { return all(_mm512_reduce_max_ps(x)); }

    // exp(x) within 2 units in the last place; 0 below -104, infinity above 88.73, NaN for NaN.
    // x = n ln 2 + r with ln 2 in two parts (Cody and Waite), then Cephes' polynomial for
    // |r| < 0.35.
    template <uint32_t kVectors>
    static void exp(Floats (&x)[kVectors]) {
        for (Floats& part : x) {
            part = exp_of(part);
        }
    }

    static Floats exp_of(Floats x) {
        // NaN stays: max and min return their second operand then.
        const Floats clamped = _mm512_min_ps(all(90.0F), _mm512_max_ps(all(-105.0F), x));
        const Floats n = _mm512_roundscale_ps(mul(clamped, all(0x1.715476p0F)),
                                              _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        Floats r = _mm512_fnmadd_ps(n, all(0.693359375F), clamped);
        r = _mm512_fnmadd_ps(n, all(-2.12194440e-4F), r);
        Floats p = fma(all(1.9875691500e-4F), r, all(1.3981999507e-3F));
        p = fma(p, r, all(8.3334519073e-3F));
        p = fma(p, r, all(4.1665795894e-2F));
        p = fma(p, r, all(1.6666665459e-1F));
        p = fma(p, r, all(5.0000001201e-1F));
        p = fma(p, mul(r, r), r);
        return _mm512_scalef_ps(add(p, all(1.0F)), n);
    }

    // 2^x for x <= 0 within 2 * 2^-23 of it; about 2^-126 below -126, NaN for NaN. x = n + r, and
    // Cephes' polynomial for |r| <= 0.5, whose own error is 1.7e-7.
    static Floats exp2_negative(Floats x) {
        constexpr float kRound = 0x1.8p23F;  // Added, it leaves n in the lowest bits.
        x = max(all(-126.0F), x);            // NaN stays, as the second operand.
        const Floats t = add(x, all(kRound));
        const Floats r = sub(x, sub(t, all(kRound)));
        Floats p = fma(all(1.535336188e-4F), r, all(1.339887440e-3F));
        p = fma(p, r, all(9.618437357e-3F));
        p = fma(p, r, all(5.550332471e-2F));
        p = fma(p, r, all(2.402264791e-1F));
        p = fma(p, r, all(6.931472028e-1F));
        p = fma(p, r, all(1.0F));
        const __m512i power = _mm512_add_epi32(_mm512_slli_epi32(_mm512_castps_si512(t), 23),
                                               _mm512_set1_epi32(127 << 23));
        return mul(p, _mm512_castsi512_ps(power));
    }

    // The first kLanes / 2 values, each twice: a pair has one angle.
    static Floats load_pairs(const float* place, uint32_t lanes) {
        const __m512i twice = _mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
        const uint32_t pairs = lanes < kLanes ? lanes / 2 : kLanes / 2;
        return _mm512_permutexvar_ps(twice, load_first(place, pairs));
    }

    // (x0 x1) -> (x0 cos - x1 sin, x0 sin + x1 cos) for each pair of lanes.
    static Floats rotate_pairs(Floats x, Floats cos, Floats sin) {
        return _mm512_fmaddsub_ps(x, cos, mul(_mm512_permute_ps(x, 0xb1), sin));
    }

    // One block to int8, as kernel_table.h defines it.
    static void quantize_block(const float* values, int8_t* quants, float* scale,
                               int16_t* half_sums) {
        const BlockScale block = block_scale(largest_magnitude(values, kBlockColumns), 127.0F);
        *scale = block.scale;
        for (uint32_t i = 0; i < kBlockColumns / kLanes; ++i) {
            const __m512i rounded = round_vector(values + i * kLanes, block.inverse);
            _mm_storeu_si128(reinterpret_cast<__m128i*>(quants + i * kLanes),
                             _mm512_cvtepi32_epi8(rounded));
            half_sums[i] = static_cast<int16_t>(_mm512_reduce_add_epi32(rounded));
        }
    }

    static void quantize_group(const float* values, int8_t* quants, float* scales,
                               int16_t* half_sums) {
        quantize_block(values, quants, scales, half_sums);
    }

    // One block to int16.
    static void quantize_block16(const float* values, int16_t* quants, float* scale,
                                 int32_t (&half_sums)[2]) {
        const BlockScale block = block_scale(largest_magnitude(values, kBlockColumns), kQuant16Max);
        *scale = block.scale;
        const __m256i order = _mm256_broadcastsi128_si256(
            _mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15));
        for (uint32_t i = 0; i < kBlockColumns / kLanes; ++i) {
            const __m512i rounded = round_vector(values + i * kLanes, block.inverse);
            const __m256i words = _mm256_shuffle_epi8(_mm512_cvtepi32_epi16(rounded), order);
            __builtin_memcpy(quants + i * kLanes, &words, sizeof words);
            half_sums[i] = _mm512_reduce_add_epi32(rounded);
        }
    }

private:
    static __m512i round_vector(const float* values, float inverse) {
        const __m512i nearest = _mm512_cvtps_epi32(mul(load(values), all(inverse)));
        return inverse == 0 ? _mm512_setzero_si512() : nearest;
    }
};

}  // namespace
}  // namespace rekindle::kernels::avx512_vnni
