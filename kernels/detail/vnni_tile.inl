// The tile that multiplies all quantised types where the processor sums up products of bytes in
// int32 (VNNI): 16 rows x a tile of tokens x a slice of 32 columns, added to the accumulators as
// scalar_matmul.cpp states it. Written once over the operations V of a register width
// (avx512_ops.inl, avx_vnni_ops.inl); docs/decisions/0014-vnni-matmul.md says why it has this form.
// A type, as V reads it, has
//   kBlock     the packed block's layout, kSlices slices of 32 columns
//   kShape     what its products need, and which of the functions below it has
//   kBias      weight = quant - kBias with quant unsigned
//   group()    4 columns of a register's rows as uint8, group g of the slice's 8
//   scales()   floats, a row each; offsets() likewise
//   factors()  int16 pairs a row: what multiplies columns 0 to 15 and 16 to 31; mins() likewise
#pragma once
#include "kernels/detail/r16.h"
#include "kernels/detail/vnni_shape.h"
#include "kernels/kernel_table.h"

namespace rekindle::kernels::vnni {
namespace {

constexpr uint32_t kHalfGroups = detail::kSliceGroups / 2;

// Registers of weights for a group of 4 columns: their bytes, or columns 0 and 2, 1 and 3 as int16.
constexpr uint32_t register_pairs(const Shape& shape) {
    return shape.inputs16 ? 2 : 1;
}

// Words of Terms for a slice: the integers where its sums start, one for each half where these have
// factors; or what its offset is multiplied with.
constexpr uint32_t term_words(const Shape& shape) {
    return (shape.biased && shape.factors) || (shape.mins && shape.inputs16) ? 2 : 1;
}

// Registers that a tile needs for each token and register of rows: its sum, its accumulator; with
// factors, the other half's sum.
constexpr uint32_t register_sets(const Shape& shape) {
    return shape.factors ? 3 : 2;
}

// The tokens of a tile at one slice. Scales and terms of one slice lie side by side, so that the
// tile finds them at fixed distances and needs registers for the places of quants only.
struct TileTokens {
    const std::byte* quants;  // Of the first token.
    const float* scales;      // [tokens]
    const int32_t* terms;     // [term_words][tokens]
    size_t quant_stride;      // Bytes to the next token.
    size_t tokens;            // Of all tiles.

    template <Shape kShape>
    [[gnu::always_inline]] void advance() {
        quants += kBlockColumns * register_pairs(kShape);
        scales += tokens;
        terms += tokens * term_words(kShape);
    }
};

template <typename V>
using Groups = typename V::Ints[V::kRowSets];

template <typename V, uint32_t kTokens>
using Accumulators = typename V::Floats[kTokens][V::kRowSets];

// Weights as they lie in a packed block.
template <typename V, typename Type>
struct PackedSlice {
    static constexpr Shape kShape = Type::kShape;

    [[gnu::always_inline]] void load(uint32_t g,
                                     Groups<V> (&weights)[register_pairs(kShape)]) const {
        for (uint32_t rows = 0; rows < V::kRowSets; ++rows) {
            const auto bytes = Type::group(block, slice, g, rows);
            if constexpr (kShape.inputs16) {
                weights[0][rows] = V::even_bytes(bytes);
                weights[1][rows] = V::odd_bytes(bytes);
            } else {
                weights[0][rows] = bytes;
            }
        }
    }

    [[gnu::always_inline]] auto scales(uint32_t rows) const {
        return Type::scales(block, slice, rows);
    }

    [[gnu::always_inline]] auto offsets(uint32_t rows) const {
        return Type::offsets(block, slice, rows);
    }

    [[gnu::always_inline]] auto factors(uint32_t half, uint32_t rows) const {
        return V::half_of_pairs(Type::factors(block, slice, rows), half);
    }

    [[gnu::always_inline]] auto mins(uint32_t rows) const { return Type::mins(block, slice, rows); }

    const std::byte* block;
    uint32_t slice;
};

// What is left of a shape when weights are unpacked: with inputs of 16 bits, bias and factors are
// in them (factor * (quant - bias) is at most 4,096), so that terms of biased types go unread.
constexpr Shape unpacked_shape(const Shape& shape) {
    return shape.inputs16 ? Shape{.offsets = shape.offsets, .mins = shape.mins, .inputs16 = true}
                          : shape;
}

// The same slice unpacked, for more tokens than one tile has.
template <typename V, Shape kOwnShape>
struct UnpackedSlice {
    static constexpr Shape kShape = kOwnShape;

    template <typename Type>
    [[gnu::always_inline]] void assign(const PackedSlice<V, Type>& from) {
        for (uint32_t rows = 0; rows < V::kRowSets; ++rows) {
            scales_[rows] = from.scales(rows);
            if constexpr (kShape.offsets) {
                offsets_[rows] = from.offsets(rows);
            }
            if constexpr (kShape.mins) {
                mins_[rows] = from.mins(rows);
            }
            if constexpr (kShape.factors) {
                factors_[0][rows] = from.factors(0, rows);
                factors_[1][rows] = from.factors(1, rows);
            }
        }
#pragma clang loop unroll(full)
        for (uint32_t g = 0; g < detail::kSliceGroups; ++g) {
            from.load(g, quants_[g]);
            if constexpr (kShape.inputs16) {
                finish_weights<Type>(from, g / kHalfGroups, quants_[g]);
            }
        }
    }

    [[gnu::always_inline]] void load(uint32_t g,
                                     Groups<V> (&weights)[register_pairs(kShape)]) const {
        for (uint32_t pair = 0; pair < register_pairs(kShape); ++pair) {
            for (uint32_t rows = 0; rows < V::kRowSets; ++rows) {
                weights[pair][rows] = quants_[g][pair][rows];
            }
        }
    }

    [[gnu::always_inline]] auto scales(uint32_t rows) const { return scales_[rows]; }

    [[gnu::always_inline]] auto offsets(uint32_t rows) const { return offsets_[rows]; }

    [[gnu::always_inline]] auto factors(uint32_t half, uint32_t rows) const {
        return factors_[half][rows];
    }

    [[gnu::always_inline]] auto mins(uint32_t rows) const { return mins_[rows]; }

private:
    // From quants to factor * (quant - bias), in int16.
    template <typename Type>
    [[gnu::always_inline]] static void finish_weights(const PackedSlice<V, Type>& from,
                                                      uint32_t half, Groups<V> (&weights)[2]) {
        for (uint32_t place = 0; place < 2 * V::kRowSets; ++place) {
            const uint32_t rows = place / 2;
            auto& value = weights[place % 2][rows];
            if constexpr (Type::kShape.biased) {
                value = V::sub_int16(value, V::all_int16(static_cast<int16_t>(Type::kBias)));
            }
            if constexpr (Type::kShape.factors) {
                value = V::mul_int16(value, V::twice_int16(from.factors(half, rows)));
            }
        }
    }

    Groups<V> quants_[detail::kSliceGroups][register_pairs(kShape)];
    typename V::Floats scales_[V::kRowSets];
    typename V::Floats offsets_[kShape.offsets ? V::kRowSets : 1];
    Groups<V> factors_[kShape.factors ? 2 : 1];
    typename V::Ints mins_[kShape.mins ? V::kRowSets : 1];
};

// Sums of groups [first, first + count), which start at minus their part of the bias.
template <typename V, uint32_t kFirst, uint32_t kCount, uint32_t kTokens, typename Slice>
[[gnu::always_inline]] inline void sum_groups(const Slice& slice, const TileTokens& tokens,
                                              Groups<V> (&sums)[kTokens]) {
    constexpr Shape kShape = Slice::kShape;
    constexpr uint32_t kPairs = register_pairs(kShape);
    constexpr uint32_t kHalf = kShape.factors ? kFirst / kHalfGroups : 0;
#pragma clang loop unroll(full)
    for (uint32_t t = 0; t < kTokens; ++t) {
        for (uint32_t rows = 0; rows < V::kRowSets; ++rows) {
            sums[t][rows] = kShape.biased
                                ? V::broadcast_int(tokens.terms + kHalf * tokens.tokens + t)
                                : V::zero();
        }
    }
#pragma clang loop unroll(full)
    for (uint32_t g = kFirst; g < kFirst + kCount; ++g) {
        Groups<V> weights[kPairs];
        slice.load(g, weights);
#pragma clang loop unroll(full)
        for (uint32_t place = 0; place < kPairs * kTokens; ++place) {
            const uint32_t pair = place / kTokens;
            const uint32_t t = place % kTokens;
            const auto word =
                V::broadcast_int(tokens.quants + t * tokens.quant_stride + (g * kPairs + pair) * 4);
            for (uint32_t rows = 0; rows < V::kRowSets; ++rows) {
                if constexpr (kShape.inputs16) {
                    sums[t][rows] = V::dot_int16(sums[t][rows], weights[pair][rows], word);
                } else {
                    sums[t][rows] = V::dot_bytes(sums[t][rows], weights[pair][rows], word);
                }
            }
        }
    }
}

// The slice's sums as floats. With factors and inputs of 8 bits, halves are weighed as floats,
// which is exact (no product or sum leaves 2^24: 32 * 128 * 127 * 32 for Q6_K) and costs less than
// products of int32.
template <typename V, uint32_t kTokens, typename Slice>
[[gnu::always_inline]] inline void sum_halves(const Slice& slice, const TileTokens& tokens,
                                              Accumulators<V, kTokens>& dots) {
    Groups<V> first[kTokens];
    Groups<V> second[kTokens];
    sum_groups<V, 0, kHalfGroups, kTokens>(slice, tokens, first);
    if constexpr (!Slice::kShape.inputs16) {
#pragma clang loop unroll(full)
        for (uint32_t place = 0; place < kTokens * V::kRowSets; ++place) {
            const uint32_t t = place / V::kRowSets;
            const uint32_t rows = place % V::kRowSets;
            dots[t][rows] =
                V::mul(V::to_floats(slice.factors(0, rows)), V::to_floats(first[t][rows]));
        }
    }
    sum_groups<V, kHalfGroups, kHalfGroups, kTokens>(slice, tokens, second);
#pragma clang loop unroll(full)
    for (uint32_t place = 0; place < kTokens * V::kRowSets; ++place) {
        const uint32_t t = place / V::kRowSets;
        const uint32_t rows = place % V::kRowSets;
        if constexpr (Slice::kShape.inputs16) {
            dots[t][rows] =
                V::to_floats(V::add_ints(V::mul_ints(first[t][rows], slice.factors(0, rows)),
                                         V::mul_ints(second[t][rows], slice.factors(1, rows))));
        } else {
            dots[t][rows] = V::fma(V::to_floats(slice.factors(1, rows)),
                                   V::to_floats(second[t][rows]), dots[t][rows]);
        }
    }
}

template <typename V, uint32_t kTokens, typename Slice>
[[gnu::always_inline]] inline void sum_slice(const Slice& slice, const TileTokens& tokens,
                                             Accumulators<V, kTokens>& dots) {
    if constexpr (Slice::kShape.factors) {
        sum_halves<V, kTokens>(slice, tokens, dots);
    } else {
        Groups<V> sums[kTokens];
        sum_groups<V, 0, detail::kSliceGroups, kTokens>(slice, tokens, sums);
#pragma clang loop unroll(full)
        for (uint32_t place = 0; place < kTokens * V::kRowSets; ++place) {
            const uint32_t t = place / V::kRowSets;
            dots[t][place % V::kRowSets] = V::to_floats(sums[t][place % V::kRowSets]);
        }
    }
}

// What a token's offset is multiplied with.
template <typename V, typename Slice>
[[gnu::always_inline]] inline auto offset_term(const Slice& slice, uint32_t rows,
                                               const TileTokens& tokens, uint32_t t) {
    const int32_t* terms = tokens.terms + t;
    const auto x_scale = V::broadcast(tokens.scales + t);
    if constexpr (!Slice::kShape.mins) {
        return V::as_floats(V::broadcast_int(terms));
    } else if constexpr (Slice::kShape.inputs16) {
        const auto mins = slice.mins(rows);
        const auto first = V::mul_ints(V::half_of_pairs(mins, 0), V::broadcast_int(terms));
        const auto second =
            V::mul_ints(V::half_of_pairs(mins, 1), V::broadcast_int(terms + tokens.tokens));
        return V::mul(x_scale, V::to_floats(V::add_ints(first, second)));
    } else {
        const auto sum = V::dot_int16(V::zero(), slice.mins(rows), V::broadcast_int(terms));
        return V::mul(x_scale, V::to_floats(sum));
    }
}

template <typename V, uint32_t kTokens, typename Slice>
[[gnu::always_inline]] inline void add_slice(const Slice& slice, const TileTokens& tokens,
                                             Accumulators<V, kTokens>& acc) {
    constexpr Shape kShape = Slice::kShape;
    Accumulators<V, kTokens> dots;
    sum_slice<V, kTokens>(slice, tokens, dots);
    for (uint32_t rows = 0; rows < V::kRowSets; ++rows) {
        const auto scales = slice.scales(rows);
#pragma clang loop unroll(full)
        for (uint32_t t = 0; t < kTokens; ++t) {
            const auto scale = V::mul(scales, V::broadcast(tokens.scales + t));
            acc[t][rows] = V::fma(scale, dots[t][rows], acc[t][rows]);
            if constexpr (kShape.offsets) {
                acc[t][rows] = V::fma(slice.offsets(rows), offset_term<V>(slice, rows, tokens, t),
                                      acc[t][rows]);
            }
        }
    }
    if constexpr (register_sets(kShape) * kTokens * V::kRowSets + V::kSpareRegisters >
                  V::kRegisters) {
        // The registers are for the sums: accumulators stay in memory, touched once a slice.
        __asm__("" : "+m"(acc));
    }
}

}  // namespace
}  // namespace rekindle::kernels::vnni
