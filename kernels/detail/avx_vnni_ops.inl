// The operations of detail/vnni_tile.inl and vnni_matmul.inl on 256-bit registers, two for the 16
// rows of a panel, with the VNNI instructions in AVX's own encoding; and the weight types as those
// read them. For files that are compiled for AVX-VNNI; internal linkage, see README.md.
#pragma once
#include "kernels/detail/avx2_types.inl"
#include "kernels/detail/vnni_shape.h"

#include <immintrin.h>

namespace rekindle::kernels::avx_vnni {
namespace {

struct Operations {
    using Ints = __m256i;
    using Floats = __m256;
    static constexpr uint32_t kRowSets = 2;
    // Sums of 4 tokens are 8 registers; accumulators lie in memory, as in avx2_tile.inl.
    static constexpr uint32_t kTokenTile = 4;
    static constexpr uint32_t kTokenTileMin = 4;
    static constexpr uint32_t kRegisters = 16;
    static constexpr uint32_t kSpareRegisters = 5;  // Weights, a broadcast, a mask.

    static Ints zero() { return _mm256_setzero_si256(); }

    static Ints broadcast_int(const void* place) {
        int32_t word = 0;
        __builtin_memcpy(&word, place, sizeof word);
        return _mm256_set1_epi32(word);
    }

    static Floats broadcast(const float* place) { return _mm256_broadcast_ss(place); }

    static Ints dot_bytes(Ints sum, Ints weights, Ints inputs) {
        return _mm256_dpbusd_avx_epi32(sum, weights, inputs);
    }

    static Ints dot_int16(Ints sum, Ints weights, Ints inputs) {
        return _mm256_dpwssd_avx_epi32(sum, weights, inputs);
    }

    static Ints even_bytes(Ints bytes) { return _mm256_and_si256(bytes, _mm256_set1_epi16(0xff)); }

    static Ints odd_bytes(Ints bytes) { return _mm256_srli_epi16(bytes, 8); }

    // The lower (0) or upper (1) int16 of each row, as int32.
    static Ints half_of_pairs(Ints pairs, uint32_t half) {
        return _mm256_srai_epi32(half == 0 ? _mm256_slli_epi32(pairs, 16) : pairs, 16);
    }

    // The int16 that each int32 holds, twice.
    static Ints twice_int16(Ints values) {
        return _mm256_blend_epi16(values, _mm256_slli_epi32(values, 16), 0xaa);
    }

    static Ints all_int16(int16_t value) { return _mm256_set1_epi16(value); }

    static Ints sub_int16(Ints a, Ints b) { return _mm256_sub_epi16(a, b); }

    static Ints mul_int16(Ints a, Ints b) { return _mm256_mullo_epi16(a, b); }

    static Ints add_ints(Ints a, Ints b) { return _mm256_add_epi32(a, b); }

    static Ints mul_ints(Ints a, Ints b) { return _mm256_mullo_epi32(a, b); }

    static Floats to_floats(Ints a) { return _mm256_cvtepi32_ps(a); }

    static Floats as_floats(Ints a) { return _mm256_castsi256_ps(a); }

    static Floats mul(Floats a, Floats b) { return _mm256_mul_ps(a, b); }

    static Floats fma(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }

    static Floats load(const float* place) { return _mm256_loadu_ps(place); }

    static void store(float* place, Floats a) { _mm256_storeu_ps(place, a); }
};

// A type of avx2_types.inl with unsigned quants: signed ones get a bias.
template <typename Type>
struct Unsigned : Type {
    static constexpr vnni::Shape kShape{.biased = Type::kShape.biased || Type::kShape.wide,
                                        .factors = Type::kShape.factors,
                                        .offsets = Type::kShape.offsets,
                                        .mins = Type::kShape.mins};
    static constexpr int32_t kBias = Type::kShape.wide ? 128 : Type::kBias;

    [[gnu::always_inline]] static __m256i group(const std::byte* block, uint32_t slice, uint32_t g,
                                                uint32_t rows) {
        const __m256i quants = Type::group(block, slice, g, rows);
        return Type::kShape.wide ? _mm256_xor_si256(quants, _mm256_set1_epi8(-128)) : quants;
    }
};

// The same type, multiplied with inputs of 16 bits.
template <typename Type>
struct Inputs16 : Type {
    static constexpr vnni::Shape kShape = vnni::with_inputs16(Type::kShape);
};

using Q4_0 = Unsigned<avx2::Q4_0>;
using Q4_1 = Unsigned<avx2::Q4_1>;
using Q5_0 = Unsigned<avx2::Q5_0>;
using Q5_1 = Unsigned<avx2::Q5_1>;
using Q8_0 = Unsigned<avx2::Q8_0>;
using Q2_K = Unsigned<avx2::Q2_K>;
using Q3_K = Unsigned<avx2::Q3_K>;
using Q4_K = Unsigned<avx2::Q4_K>;
using Q5_K = Unsigned<avx2::Q5_K>;
using Q6_K = Unsigned<avx2::Q6_K>;
using IQ4_NL = Unsigned<avx2::IQ4_NL>;
using IQ4_XS = Unsigned<avx2::IQ4_XS>;

}  // namespace
}  // namespace rekindle::kernels::avx_vnni
