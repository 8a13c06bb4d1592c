// The tile that multiplies all quantised types on AVX2: 16 rows x up to 4 tokens x a slice of 32
// columns, added to the accumulators as scalar_matmul.cpp states it.
// docs/decisions/0007-avx2-matmul.md says why it has this form.
#pragma once
#include "kernels/detail/avx2_terms.inl"
#include "kernels/detail/avx2_types.inl"
#include "kernels/detail/r16.h"

#include <immintrin.h>

namespace rekindle::kernels::avx2 {
namespace {

constexpr uint32_t kRowHalves = 2;  // Registers for the 16 rows of a panel.
constexpr uint32_t kStreams = 2;    // Registers of weights that share a broadcast activation.
constexpr uint32_t kHalfGroups = detail::kSliceGroups / 2;

[[gnu::always_inline]] inline __m256i broadcast_word(const void* place) {
    int32_t word = 0;
    __builtin_memcpy(&word, place, sizeof word);
    return _mm256_set1_epi32(word);
}

// The compiler would rearrange a sum into a tree, which needs more registers than there are.
[[gnu::always_inline]] inline void keep_order(__m256i& sum) {
    __asm__("" : "+x"(sum));
}

// The tokens of a tile at one slice, of 8 or of 16 bits; the strides lead to the next token.
struct TileTokens {
    const int8_t* quants;
    const int16_t* half_sums;
    const int16_t* quants16;
    const int32_t* half_sums16;
    const float* scales;
    const int32_t* terms;
    size_t columns;      // Stride of quants.
    size_t slices;       // Of scales, half of that of half_sums.
    size_t term_stride;  // Of terms, in words.

    template <Shape kShape>
    [[gnu::always_inline]] void advance() {
        if constexpr (kShape.inputs16) {
            quants16 += kBlockColumns;
            half_sums16 += 1;
        } else {
            quants += kBlockColumns;
            half_sums += 2;
        }
        scales += 1;
        terms += term_words(kShape);
    }
};

// Weights as they lie in a packed block. The registers of a step are the two halves of the rows,
// or, of a wide type, the values and the magnitudes of one half.
template <typename Type>
struct PackedSlice {
    static constexpr Shape kShape = Type::kShape;

    [[gnu::always_inline]] void load(uint32_t g, uint32_t rows,
                                     __m256i (&weights)[kStreams]) const {
        if constexpr (kShape.wide) {
            weights[0] = Type::group(block, slice, g, rows);
            weights[1] = _mm256_abs_epi8(weights[0]);
        } else {
            weights[0] = Type::group(block, slice, g, 0);
            weights[1] = Type::group(block, slice, g, 1);
        }
    }

    [[gnu::always_inline]] __m256 scales(uint32_t rows) const {
        return Type::scales(block, slice, rows);
    }

    [[gnu::always_inline]] __m256 offsets(uint32_t rows) const {
        return Type::offsets(block, slice, rows);
    }

    [[gnu::always_inline]] __m256i factors(uint32_t rows) const {
        return Type::factors(block, slice, rows);
    }

    [[gnu::always_inline]] __m256i mins(uint32_t rows) const {
        return Type::mins(block, slice, rows);
    }

    const std::byte* block;
    uint32_t slice;
};

// The same slice unpacked, for more tokens than one tile has.
template <Shape kOwnShape>
struct UnpackedSlice {
    static constexpr Shape kShape = kOwnShape;
    static constexpr uint32_t kRowSets = kShape.wide ? kRowHalves : 1;

    template <typename Type>
    [[gnu::always_inline]] void assign(const PackedSlice<Type>& from) {
        for (uint32_t rows = 0; rows < kRowSets; ++rows) {
#pragma clang loop unroll(full)
            for (uint32_t g = 0; g < detail::kSliceGroups; ++g) {
                __m256i weights[kStreams];
                from.load(g, rows, weights);
                quants_[rows][g][0] = weights[0];
                quants_[rows][g][1] = weights[1];
            }
        }
        for (uint32_t rows = 0; rows < kRowHalves; ++rows) {
            scales_[rows] = from.scales(rows);
            if constexpr (kShape.offsets) {
                offsets_[rows] = from.offsets(rows);
            }
            if constexpr (kShape.factors) {
                factors_[rows] = from.factors(rows);
            }
            if constexpr (kShape.mins) {
                mins_[rows] = from.mins(rows);
            }
        }
    }

    [[gnu::always_inline]] void load(uint32_t g, uint32_t rows,
                                     __m256i (&weights)[kStreams]) const {
        const uint32_t set = kShape.wide ? rows : 0;
        weights[0] = quants_[set][g][0];
        weights[1] = quants_[set][g][1];
    }

    [[gnu::always_inline]] __m256 scales(uint32_t rows) const { return scales_[rows]; }

    [[gnu::always_inline]] __m256 offsets(uint32_t rows) const { return offsets_[rows]; }

    [[gnu::always_inline]] __m256i factors(uint32_t rows) const { return factors_[rows]; }

    [[gnu::always_inline]] __m256i mins(uint32_t rows) const { return mins_[rows]; }

private:
    __m256i quants_[kRowSets][detail::kSliceGroups][kStreams];
    __m256 scales_[kRowHalves];
    __m256 offsets_[kShape.offsets ? kRowHalves : 1];
    __m256i factors_[kShape.factors ? kRowHalves : 1];
    __m256i mins_[kShape.mins ? kRowHalves : 1];
};

// Products of groups [first, first + count) in int16, starting at minus their part of the bias.
template <uint32_t kFirst, uint32_t kCount, uint32_t kTokens, typename Slice>
[[gnu::always_inline]] inline void sum_groups(const Slice& slice, const TileTokens& tokens,
                                              __m256i (&sums)[kTokens][kStreams]) {
    constexpr Shape kShape = Slice::kShape;
#pragma clang loop unroll(full)
    for (uint32_t g = kFirst; g < kFirst + kCount; ++g) {
        __m256i weights[kStreams];
        slice.load(g, 0, weights);
#pragma clang loop unroll(full)
        for (uint32_t t = 0; t < kTokens; ++t) {
            const __m256i four =
                broadcast_word(tokens.quants + t * tokens.columns + g * detail::kLaneColumns);
#pragma clang loop unroll(full)
            for (uint32_t s = 0; s < kStreams; ++s) {
                const __m256i products = _mm256_maddubs_epi16(weights[s], four);
                if (g > kFirst) {
                    sums[t][s] = _mm256_add_epi16(sums[t][s], products);
                } else if (kShape.biased) {
                    const uint32_t half = kShape.factors ? kFirst / kHalfGroups : 0;
                    sums[t][s] = _mm256_add_epi16(
                        broadcast_word(tokens.terms + t * tokens.term_stride + half), products);
                } else {
                    sums[t][s] = products;
                }
                keep_order(sums[t][s]);
            }
        }
    }
}

// Factors of columns 0 to 15, or of 16 to 31, twice for each row.
template <typename Slice>
[[gnu::always_inline]] inline __m256i half_factors(const Slice& slice, uint32_t rows,
                                                   uint32_t half) {
    if constexpr (Slice::kShape.factors) {
        const __m256i pairs = slice.factors(rows);
        if (half == 0) {
            const __m256i lower = _mm256_blend_epi16(pairs, _mm256_setzero_si256(), 0xaa);
            return _mm256_or_si256(lower, _mm256_slli_epi32(lower, 16));
        }
        const __m256i upper = _mm256_srli_epi32(pairs, 16);
        return _mm256_or_si256(upper, _mm256_slli_epi32(upper, 16));
    } else {
        return _mm256_set1_epi16(1);
    }
}

// Adds a slice's exact products of eight rows and one token to their accumulators.
template <typename Slice>
[[gnu::always_inline]] inline void accumulate(const Slice& slice, uint32_t rows,
                                              const TileTokens& tokens, uint32_t t, __m256i dots,
                                              __m256& acc) {
    constexpr Shape kShape = Slice::kShape;
    const __m256 x_scale = _mm256_set1_ps(tokens.scales[t * tokens.slices]);
    acc =
        _mm256_fmadd_ps(_mm256_mul_ps(slice.scales(rows), x_scale), _mm256_cvtepi32_ps(dots), acc);
    if constexpr (kShape.mins) {
        const __m256i halves = broadcast_word(tokens.half_sums + t * tokens.slices * 2);
        const __m256 sum = _mm256_cvtepi32_ps(_mm256_madd_epi16(halves, slice.mins(rows)));
        acc = _mm256_fmadd_ps(slice.offsets(rows), _mm256_mul_ps(x_scale, sum), acc);
    } else if constexpr (kShape.offsets) {
        const __m256 term =
            _mm256_castsi256_ps(broadcast_word(tokens.terms + t * tokens.term_stride));
        acc = _mm256_fmadd_ps(slice.offsets(rows), term, acc);
    }
}

template <uint32_t kTokens>
using Accumulators = __m256[kTokens][kRowHalves];

// vpmaddubsw wants one unsigned side: |w| * (x with w's sign). 127 * 127 * 2 leaves no room to add
// in int16, so that every product is widened.
template <uint32_t kTokens, typename Slice>
[[gnu::always_inline]] inline void add_wide_slice(const Slice& slice, const TileTokens& tokens,
                                                  Accumulators<kTokens>& acc) {
#pragma clang loop unroll(full)
    for (uint32_t rows = 0; rows < kRowHalves; ++rows) {
        __m256i dots[kTokens];
#pragma clang loop unroll(full)
        for (uint32_t g = 0; g < detail::kSliceGroups; ++g) {
            __m256i weights[kStreams];
            slice.load(g, rows, weights);
#pragma clang loop unroll(full)
            for (uint32_t t = 0; t < kTokens; ++t) {
                const __m256i four =
                    broadcast_word(tokens.quants + t * tokens.columns + g * detail::kLaneColumns);
                const __m256i products =
                    _mm256_maddubs_epi16(weights[1], _mm256_sign_epi8(four, weights[0]));
                const __m256i wide = _mm256_madd_epi16(products, _mm256_set1_epi16(1));
                dots[t] = g > 0 ? _mm256_add_epi32(dots[t], wide) : wide;
                keep_order(dots[t]);
            }
        }
#pragma clang loop unroll(full)
        for (uint32_t t = 0; t < kTokens; ++t) {
            accumulate(slice, rows, tokens, t, dots[t], acc[t][rows]);
        }
    }
}

template <uint32_t kTokens, typename Slice>
[[gnu::always_inline]] inline void add_halves(const Slice& slice, const TileTokens& tokens,
                                              Accumulators<kTokens>& acc) {
    __m256i dots[kTokens][kStreams];
    __m256i sums[kTokens][kStreams];
    sum_groups<0, kHalfGroups>(slice, tokens, sums);
#pragma clang loop unroll(full)
    for (uint32_t rows = 0; rows < kRowHalves; ++rows) {
        const __m256i factors = half_factors(slice, rows, 0);
        for (uint32_t t = 0; t < kTokens; ++t) {
            dots[t][rows] = _mm256_madd_epi16(sums[t][rows], factors);
        }
    }
    sum_groups<kHalfGroups, kHalfGroups>(slice, tokens, sums);
#pragma clang loop unroll(full)
    for (uint32_t rows = 0; rows < kRowHalves; ++rows) {
        const __m256i factors = half_factors(slice, rows, 1);
        for (uint32_t t = 0; t < kTokens; ++t) {
            const __m256i second = _mm256_madd_epi16(sums[t][rows], factors);
            accumulate(slice, rows, tokens, t, _mm256_add_epi32(dots[t][rows], second),
                       acc[t][rows]);
        }
    }
}

template <uint32_t kTokens, typename Slice>
[[gnu::always_inline]] inline void add_slice(const Slice& slice, const TileTokens& tokens,
                                             Accumulators<kTokens>& acc) {
    if constexpr (Slice::kShape.wide) {
        add_wide_slice<kTokens>(slice, tokens, acc);
    } else if constexpr (Slice::kShape.middle) {
        add_halves<kTokens>(slice, tokens, acc);
    } else {
        __m256i sums[kTokens][kStreams];
        sum_groups<0, detail::kSliceGroups>(slice, tokens, sums);
#pragma clang loop unroll(full)
        for (uint32_t t = 0; t < kTokens; ++t) {
#pragma clang loop unroll(full)
            for (uint32_t rows = 0; rows < kRowHalves; ++rows) {
                const __m256i dots = _mm256_madd_epi16(sums[t][rows], _mm256_set1_epi16(1));
                accumulate(slice, rows, tokens, t, dots, acc[t][rows]);
            }
        }
    }
    if constexpr (kTokens > 2) {
        // The registers are for the sums: accumulators stay in memory, touched once a slice.
        __asm__("" : "+m"(acc));
    }
}

}  // namespace
}  // namespace rekindle::kernels::avx2
