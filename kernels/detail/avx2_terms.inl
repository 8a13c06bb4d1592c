// What a product of AVX2 needs of its tokens' slices beside quants and scales, computed once for
// all panels: 32-bit words [token][slice], for factors with a bias [token][slice][half].
#pragma once
#include "kernels/detail/avx2_types.inl"
#include "kernels/kernel_table.h"

#include <immintrin.h>

namespace rekindle::kernels::avx2 {
namespace {

// Slices of tokens whose terms are held at a time: 64 KiB of stack with two words each. 64 tokens
// get 128 slices or 4,096 columns, whose quants are 256 KiB of the second-level cache.
constexpr uint32_t kTermsMax = 8192;

struct Terms {
    alignas(32) int32_t words[kTermsMax * 2];
};

constexpr uint32_t term_words(const Shape& shape) {
    return shape.biased && shape.factors ? 2 : 1;
}

// -kBias times the sums that the two int16 lanes of a row get from a slice (for each half of it
// with `kHalves`): columns 4 g, 4 g + 1 in the lower lane, 4 g + 2, 4 g + 3 in the upper one.
template <int32_t kBias, bool kHalves>
[[gnu::always_inline]] inline void gather_biases(const int8_t* quants, uint32_t slices,
                                                 int32_t* words) {
    const __m256i one = _mm256_set1_epi8(1);
    const __m256i bias = _mm256_set1_epi16(static_cast<int16_t>(-kBias));
    for (uint32_t slice = 0; slice < slices; ++slice) {
        const __m256i columns = load_bytes(quants + static_cast<size_t>(slice) * kBlockColumns);
        __m256i sums = _mm256_maddubs_epi16(one, columns);
        sums = _mm256_add_epi16(sums, _mm256_shuffle_epi32(sums, 0x4e));
        sums = _mm256_add_epi16(sums, _mm256_shuffle_epi32(sums, 0xb1));
        sums = _mm256_mullo_epi16(sums, bias);
        const __m128i first = _mm256_castsi256_si128(sums);
        const __m128i second = _mm256_extracti128_si256(sums, 1);
        if constexpr (kHalves) {
            words[2 * slice] = _mm_cvtsi128_si32(first);
            words[2 * slice + 1] = _mm_cvtsi128_si32(second);
        } else {
            words[slice] = _mm_cvtsi128_si32(_mm_add_epi16(first, second));
        }
    }
}

// Floats: scale * sum of the slice's quants.
[[gnu::always_inline]] inline void gather_offsets(const float* scales, const int16_t* half_sums,
                                                  uint32_t slices, int32_t* words) {
    uint32_t slice = 0;
    for (; slice + kLanes <= slices; slice += kLanes) {
        const __m256i sums =
            _mm256_madd_epi16(load_bytes(half_sums + slice * 2), _mm256_set1_epi16(1));
        const __m256 terms =
            _mm256_mul_ps(_mm256_loadu_ps(scales + slice), _mm256_cvtepi32_ps(sums));
        _mm256_storeu_ps(reinterpret_cast<float*>(words + slice), terms);
    }
    for (; slice < slices; ++slice) {
        const int32_t sum = half_sums[slice * 2] + half_sums[slice * 2 + 1];
        const float term = scales[slice] * static_cast<float>(sum);
        __builtin_memcpy(words + slice, &term, sizeof term);
    }
}

// The same for inputs of 16 bits, whose sums are held in int32. half_sums [2][stride].
template <typename Type>
[[gnu::always_inline]] inline void gather_terms16(const float* scales, const int32_t* half_sums,
                                                  size_t stride, uint32_t slices, int32_t* words) {
    constexpr Shape kShape = Type::kShape;
    for (uint32_t slice = 0; slice < slices; ++slice) {
        const int32_t first = half_sums[slice];
        const int32_t second = half_sums[stride + slice];
        if constexpr (kShape.biased && kShape.factors) {
            words[2 * slice] = -Type::kBias * first;
            words[2 * slice + 1] = -Type::kBias * second;
        } else if constexpr (kShape.biased) {
            words[slice] = -Type::kBias * (first + second);
        } else if constexpr (kShape.offsets && !kShape.mins) {
            const float term = scales[slice] * static_cast<float>(first + second);
            __builtin_memcpy(words + slice, &term, sizeof term);
        }
    }
}

// Slices [first, first + slices) of tokens [token, token + tokens).
template <typename Type>
void gather_terms(const Activations& x, uint32_t token, uint32_t tokens, uint32_t first,
                  uint32_t slices, Terms& terms) {
    constexpr Shape kShape = Type::kShape;
    const size_t stride = x.k / kBlockColumns;
    for (uint32_t t = 0; t < tokens; ++t) {
        const size_t place = (token + t) * stride + first;
        int32_t* words = terms.words + static_cast<size_t>(t) * slices * term_words(kShape);
        if constexpr (kShape.inputs16) {
            const int32_t* half_sums = x.half_sums16 + (token + t) * 2 * stride + first;
            gather_terms16<Type>(x.scales + place, half_sums, stride, slices, words);
        } else if constexpr (kShape.biased) {
            gather_biases<Type::kBias, kShape.factors>(x.quants + place * kBlockColumns, slices,
                                                       words);
        } else if constexpr (kShape.offsets && !kShape.mins) {
            gather_offsets(x.scales + place, x.half_sums + place * 2, slices, words);
        }
    }
}

}  // namespace
}  // namespace rekindle::kernels::avx2
