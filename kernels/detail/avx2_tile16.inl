// The tile of avx2_tile.inl for inputs of 16 bits: weights are widened to int16, and vpmaddwd adds
// up products in int32, where all of a slice's fit. So neither signs nor biases nor factors need
// the care that 8 bits do: what is unpacked for many tokens is factor * (quant - bias).
// docs/decisions/0010-inputs-of-16-bits.md
#pragma once
#include "kernels/detail/avx2_tile.inl"
#include "kernels/detail/avx2_types.inl"
#include "kernels/detail/r16.h"

#include <immintrin.h>

namespace rekindle::kernels::avx2 {
namespace {

constexpr uint32_t kPairs = 2;  // Of columns in a group: 0 and 2, 1 and 3.

// Two columns of eight rows each, as int16: what a register of bytes holds of group g.
template <typename Type>
[[gnu::always_inline]] inline void widen(__m256i bytes, __m256i (&pairs)[kPairs]) {
    if constexpr (Type::kShape.wide) {
        pairs[0] = _mm256_srai_epi16(_mm256_slli_epi16(bytes, 8), 8);
        pairs[1] = _mm256_srai_epi16(bytes, 8);
    } else {
        pairs[0] = _mm256_and_si256(bytes, _mm256_set1_epi16(0xff));
        pairs[1] = _mm256_srli_epi16(bytes, 8);
    }
}

// The lower (0) or upper (1) int16 of each row, as int32.
[[gnu::always_inline]] inline __m256i half_of_pairs(__m256i pairs, uint32_t half) {
    return _mm256_srai_epi32(half == 0 ? _mm256_slli_epi32(pairs, 16) : pairs, 16);
}

template <typename Type>
struct PackedSlice<Inputs16<Type>> : PackedSlice<Type> {
    static constexpr Shape kShape = Inputs16<Type>::kShape;

    [[gnu::always_inline]] void load(uint32_t g, __m256i (&weights)[kRowHalves][kPairs]) const {
        for (uint32_t rows = 0; rows < kRowHalves; ++rows) {
            widen<Type>(Type::group(this->block, this->slice, g, rows), weights[rows]);
        }
    }
};

// What is left of a shape when weights are unpacked: bias and factors are in them. (So terms of
// biased types go unread.)
constexpr Shape unpacked_shape(const Shape& shape) {
    return shape.inputs16 ? Shape{.offsets = shape.offsets, .mins = shape.mins, .inputs16 = true}
                          : shape;
}

template <Shape kOwnShape>
    requires(kOwnShape.inputs16)
struct UnpackedSlice<kOwnShape> {
    static constexpr Shape kShape = kOwnShape;

    template <typename Type>
    [[gnu::always_inline]] void assign(const PackedSlice<Inputs16<Type>>& from) {
        const __m256i bias = _mm256_set1_epi16(static_cast<int16_t>(Type::kBias));
        for (uint32_t half = 0; half < 2; ++half) {
            __m256i factors[kRowHalves];
            for (uint32_t rows = 0; rows < kRowHalves; ++rows) {
                factors[rows] = half_factors(from, rows, half);
            }
#pragma clang loop unroll(full)
            for (uint32_t i = 0; i < kHalfGroups; ++i) {
                const uint32_t g = half * kHalfGroups + i;
                __m256i weights[kRowHalves][kPairs];
                from.load(g, weights);
                for (uint32_t rows = 0; rows < kRowHalves; ++rows) {
                    for (uint32_t pair = 0; pair < kPairs; ++pair) {
                        __m256i value = weights[rows][pair];
                        if constexpr (Type::kShape.biased) {
                            value = _mm256_sub_epi16(value, bias);
                        }
                        if constexpr (Type::kShape.factors) {
                            value = _mm256_mullo_epi16(value, factors[rows]);
                        }
                        quants_[g][rows][pair] = value;
                    }
                }
            }
        }
        for (uint32_t rows = 0; rows < kRowHalves; ++rows) {
            scales_[rows] = from.scales(rows);
            if constexpr (kShape.offsets) {
                offsets_[rows] = from.offsets(rows);
            }
            if constexpr (kShape.mins) {
                mins_[rows] = from.mins(rows);
            }
        }
    }

    [[gnu::always_inline]] void load(uint32_t g, __m256i (&weights)[kRowHalves][kPairs]) const {
        for (uint32_t rows = 0; rows < kRowHalves; ++rows) {
            for (uint32_t pair = 0; pair < kPairs; ++pair) {
                weights[rows][pair] = quants_[g][rows][pair];
            }
        }
    }

    [[gnu::always_inline]] __m256 scales(uint32_t rows) const { return scales_[rows]; }

    [[gnu::always_inline]] __m256 offsets(uint32_t rows) const { return offsets_[rows]; }

    [[gnu::always_inline]] __m256i mins(uint32_t rows) const { return mins_[rows]; }

private:
    __m256i quants_[detail::kSliceGroups][kRowHalves][kPairs];
    __m256 scales_[kRowHalves];
    __m256 offsets_[kShape.offsets ? kRowHalves : 1];
    __m256i mins_[kShape.mins ? kRowHalves : 1];
};

// Products of groups [first, first + count), starting at minus their part of the bias.
template <uint32_t kFirst, uint32_t kCount, uint32_t kTokens, typename Slice>
[[gnu::always_inline]] inline void sum_groups16(const Slice& slice, const TileTokens& tokens,
                                                __m256i (&sums)[kTokens][kRowHalves]) {
    constexpr Shape kShape = Slice::kShape;
#pragma clang loop unroll(full)
    for (uint32_t g = kFirst; g < kFirst + kCount; ++g) {
        __m256i weights[kRowHalves][kPairs];
        slice.load(g, weights);
#pragma clang loop unroll(full)
        for (uint32_t place = 0; place < kPairs * kTokens; ++place) {
            const uint32_t pair = place / kTokens;
            const uint32_t t = place % kTokens;
            const int16_t* columns = tokens.quants16 + t * tokens.columns;
            const __m256i two = broadcast_word(columns + g * detail::kLaneColumns + pair * 2);
#pragma clang loop unroll(full)
            for (uint32_t rows = 0; rows < kRowHalves; ++rows) {
                const __m256i products = _mm256_madd_epi16(weights[rows][pair], two);
                if (g > kFirst || pair > 0) {
                    sums[t][rows] = _mm256_add_epi32(sums[t][rows], products);
                } else if (kShape.biased) {
                    const uint32_t half = kShape.factors ? kFirst / kHalfGroups : 0;
                    sums[t][rows] = _mm256_add_epi32(
                        broadcast_word(tokens.terms + t * tokens.term_stride + half), products);
                } else {
                    sums[t][rows] = products;
                }
                keep_order(sums[t][rows]);
            }
        }
    }
}

template <typename Slice>
[[gnu::always_inline]] inline void accumulate16(const Slice& slice, uint32_t rows,
                                                const TileTokens& tokens, uint32_t t, __m256i dots,
                                                __m256& acc) {
    constexpr Shape kShape = Slice::kShape;
    const __m256 x_scale = _mm256_set1_ps(tokens.scales[t * tokens.slices]);
    acc =
        _mm256_fmadd_ps(_mm256_mul_ps(slice.scales(rows), x_scale), _mm256_cvtepi32_ps(dots), acc);
    if constexpr (kShape.mins) {
        const int32_t* sums = tokens.half_sums16 + t * 2 * tokens.slices;
        const __m256i mins = slice.mins(rows);
        const __m256i first =
            _mm256_mullo_epi32(half_of_pairs(mins, 0), _mm256_set1_epi32(sums[0]));
        const __m256i second =
            _mm256_mullo_epi32(half_of_pairs(mins, 1), _mm256_set1_epi32(sums[tokens.slices]));
        const __m256 sum = _mm256_cvtepi32_ps(_mm256_add_epi32(first, second));
        acc = _mm256_fmadd_ps(slice.offsets(rows), _mm256_mul_ps(x_scale, sum), acc);
    } else if constexpr (kShape.offsets) {
        const __m256 term =
            _mm256_castsi256_ps(broadcast_word(tokens.terms + t * tokens.term_stride));
        acc = _mm256_fmadd_ps(slice.offsets(rows), term, acc);
    }
}

template <uint32_t kTokens, typename Slice>
[[gnu::always_inline]] inline void add_slice16(const Slice& slice, const TileTokens& tokens,
                                               Accumulators<kTokens>& acc) {
    constexpr Shape kShape = Slice::kShape;
    __m256i dots[kTokens][kRowHalves];
    if constexpr (kShape.factors) {
        __m256i halves[2][kTokens][kRowHalves];
        sum_groups16<0, kHalfGroups>(slice, tokens, halves[0]);
        sum_groups16<kHalfGroups, kHalfGroups>(slice, tokens, halves[1]);
        for (uint32_t rows = 0; rows < kRowHalves; ++rows) {
            const __m256i factors = slice.factors(rows);
            for (uint32_t t = 0; t < kTokens; ++t) {
                dots[t][rows] = _mm256_add_epi32(
                    _mm256_mullo_epi32(halves[0][t][rows], half_of_pairs(factors, 0)),
                    _mm256_mullo_epi32(halves[1][t][rows], half_of_pairs(factors, 1)));
            }
        }
    } else {
        sum_groups16<0, detail::kSliceGroups>(slice, tokens, dots);
    }
#pragma clang loop unroll(full)
    for (uint32_t t = 0; t < kTokens; ++t) {
#pragma clang loop unroll(full)
        for (uint32_t rows = 0; rows < kRowHalves; ++rows) {
            accumulate16(slice, rows, tokens, t, dots[t][rows], acc[t][rows]);
        }
    }
    if constexpr (kTokens > 2) {
        // The registers are for the sums, as in add_slice.
        __asm__("" : "+m"(acc));
    }
}

// With inputs of either form.
template <uint32_t kTokens, typename Slice>
[[gnu::always_inline]] inline void add_any_slice(const Slice& slice, const TileTokens& tokens,
                                                 Accumulators<kTokens>& acc) {
    if constexpr (Slice::kShape.inputs16) {
        add_slice16<kTokens>(slice, tokens, acc);
    } else {
        add_slice<kTokens>(slice, tokens, acc);
    }
}

}  // namespace
}  // namespace rekindle::kernels::avx2
