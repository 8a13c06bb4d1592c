// Goes through panels, chunks of tokens and parts of k with the tile of vnni_tile.inl. Every output
// has its own accumulator that goes through k in ascending order, so its bits don't depend on the
// tile, the chunk or the part of k that computes it.
#pragma once
#include "kernels/detail/r16.h"
#include "kernels/detail/vnni_tile.inl"
#include "kernels/kernel_table.h"

#include <immintrin.h>

namespace rekindle::kernels::vnni {
namespace {

constexpr uint32_t kTokenChunk = 72;  // Tokens that pass over a panel before the next one starts.

// Slices that all tiles of a chunk go over before the next ones: unpacked, some 20 KiB of the
// first-level cache.
constexpr uint32_t kStretchSlices = 32;

constexpr uint32_t stretch_slices(const Shape& shape) {
    return shape.inputs16 ? kStretchSlices / 2 : kStretchSlices;
}

// Slices of tokens whose terms are held at a time: 72 KiB of stack. 64 tokens get 96 slices or
// 3,072 columns, whose quants are 192 KiB of the second-level cache.
constexpr uint32_t kTermsMax = 6144;

// How far ahead of the products weights are fetched, as docs/decisions/0007-avx2-matmul.md
// measured.
constexpr uint32_t kPrefetchBytes = 2048;

using ChunkSums = float[kTokenChunk][kPanelRows];

// What all panels read of the tokens beside the quants: see TileTokens.
struct Terms {
    alignas(64) float scales[kTermsMax];
    alignas(64) int32_t words[kTermsMax * 2];
};

// What one pass over a panel computes: slices [first, first + slices) of `tokens` tokens.
struct Part {
    uint32_t token;
    uint32_t tokens;
    uint32_t first;
    uint32_t slices;
    uint64_t panel_bytes;  // To the same place of the next panel.
};

// Word `which` of a slice, whose quants sum up to `lower` and `upper`: see term_words.
template <typename Type>
[[gnu::always_inline]] inline int32_t term(uint32_t which, float scale, int32_t lower,
                                           int32_t upper) {
    constexpr Shape kShape = Type::kShape;
    if constexpr (kShape.biased && kShape.factors) {
        return -Type::kBias * (which == 0 ? lower : upper);
    } else if constexpr (kShape.biased) {
        return -Type::kBias * (lower + upper);
    } else if constexpr (kShape.mins && kShape.inputs16) {
        return which == 0 ? lower : upper;
    } else if constexpr (kShape.mins) {
        return static_cast<int32_t>((static_cast<uint32_t>(lower) & 0xffffU) |
                                    (static_cast<uint32_t>(upper) << 16));
    } else {
        const float product = scale * static_cast<float>(lower + upper);
        int32_t bits = 0;
        __builtin_memcpy(&bits, &product, sizeof bits);
        return bits;
    }
}

template <typename Type>
void gather_terms(const Activations& x, const Part& part, Terms& terms) {
    constexpr Shape kShape = Type::kShape;
    constexpr uint32_t kWords = term_words(kShape);
    const size_t stride = x.k / kBlockColumns;
    for (uint32_t t = 0; t < part.tokens; ++t) {
        const size_t place = (part.token + t) * stride + part.first;
        const float* scales = x.scales + place;
        const int16_t* pairs = kShape.inputs16 ? nullptr : x.half_sums + place * 2;
        const int32_t* halves =
            kShape.inputs16 ? x.half_sums16 + (part.token + t) * 2 * stride + part.first : nullptr;
        // Vectors of slices would be scattered, which takes longer.
#pragma clang loop vectorize(disable)
        for (uint32_t slice = 0; slice < part.slices; ++slice) {
            const int32_t lower = kShape.inputs16 ? halves[slice] : pairs[slice * 2];
            const int32_t upper = kShape.inputs16 ? halves[stride + slice] : pairs[slice * 2 + 1];
            const size_t first = static_cast<size_t>(slice) * part.tokens;
            terms.scales[first + t] = scales[slice];
            for (uint32_t which = 0; which < kWords; ++which) {
                terms.words[first * kWords + which * part.tokens + t] =
                    term<Type>(which, scales[slice], lower, upper);
            }
        }
    }
}

// From token `token` and slice `slice` of the part on.
template <typename Type>
TileTokens tile_tokens(const Activations& x, const Part& part, const Terms& terms, uint32_t token,
                       uint32_t slice) {
    constexpr uint32_t kQuantBytes = register_pairs(Type::kShape);
    const size_t column = static_cast<size_t>(part.first + slice) * kBlockColumns;
    const size_t place = static_cast<size_t>(part.token + token) * x.k + column;
    const size_t first = static_cast<size_t>(slice) * part.tokens;
    const void* quants = x.quants;
    if constexpr (Type::kShape.inputs16) {
        quants = x.quants16;
    }
    return {.quants = static_cast<const std::byte*>(quants) + place * kQuantBytes,
            .scales = terms.scales + first + token,
            .terms = terms.words + first * term_words(Type::kShape) + token,
            .quant_stride = static_cast<size_t>(x.k) * kQuantBytes,
            .tokens = part.tokens};
}

// Weights that a tile fetches while it multiplies others: `step` bytes for each of its slices, into
// the second-level cache.
struct Ahead {
    const std::byte* place;
    uint32_t step;

    [[gnu::always_inline]] void fetch() {
        constexpr uintptr_t kLine = 64;
        const auto begin = (reinterpret_cast<uintptr_t>(place) + kLine - 1) & ~(kLine - 1);
        place += step;
        for (uintptr_t line = begin; line < reinterpret_cast<uintptr_t>(place); line += kLine) {
            _mm_prefetch(reinterpret_cast<const char*>(line), _MM_HINT_T1);
        }
    }
};

template <typename Type>
constexpr uint32_t kSliceBytes = Type::kBlock.bytes / Type::kSlices;

// What tile `tile` of `tiles` fetches while all of them go over a stretch of `slices` slices: its
// part of the next stretch.
template <typename Type>
Ahead next_stretch(const std::byte* panel, const Part& part, uint32_t first, uint32_t slices,
                   uint32_t tile, uint32_t tiles) {
    const uint32_t end = first + slices;
    const std::byte* next =
        end < part.slices ? panel + static_cast<size_t>(end / Type::kSlices) * Type::kBlock.bytes
                          : panel + part.panel_bytes;
    const uint32_t step = (kSliceBytes<Type> + tiles - 1) / tiles;
    return {next + static_cast<size_t>(tile) * step * slices, step};
}

template <typename V, uint32_t kTokens>
[[gnu::always_inline]] inline void load_sums(const float (*sums)[kPanelRows],
                                             Accumulators<V, kTokens>& acc) {
    for (uint32_t t = 0; t < kTokens; ++t) {
        for (uint32_t rows = 0; rows < V::kRowSets; ++rows) {
            acc[t][rows] = V::load(sums[t] + rows * kPanelRows / V::kRowSets);
        }
    }
}

template <typename V, uint32_t kTokens>
[[gnu::always_inline]] inline void store_sums(const Accumulators<V, kTokens>& acc,
                                              float (*sums)[kPanelRows]) {
    for (uint32_t t = 0; t < kTokens; ++t) {
        for (uint32_t rows = 0; rows < V::kRowSets; ++rows) {
            V::store(sums[t] + rows * kPanelRows / V::kRowSets, acc[t][rows]);
        }
    }
}

// One tile of tokens: bits are unpacked in registers, as the weights stream by.
template <typename V, typename Type, uint32_t kTokens>
void packed_tile(const std::byte* block, uint32_t slices, TileTokens tokens, Ahead ahead,
                 float (*sums)[kPanelRows]) {
    Accumulators<V, kTokens> acc;
    load_sums<V, kTokens>(sums, acc);
    for (uint32_t slice = 0; slice < slices; slice += Type::kSlices) {
        for (uint32_t inner = 0; inner < Type::kSlices; ++inner) {
            ahead.fetch();
            add_slice<V, kTokens>(PackedSlice<V, Type>{block, inner}, tokens, acc);
            tokens.advance<Type::kShape>();
        }
        block += Type::kBlock.bytes;
    }
    store_sums<V, kTokens>(acc, sums);
}

template <typename V, Shape kShape, uint32_t kTokens>
void unpacked_tile(const UnpackedSlice<V, kShape>* weights, uint32_t slices, TileTokens tokens,
                   Ahead ahead, float (*sums)[kPanelRows]) {
    Accumulators<V, kTokens> acc;
    load_sums<V, kTokens>(sums, acc);
    for (uint32_t slice = 0; slice < slices; ++slice) {
        ahead.fetch();
        add_slice<V, kTokens>(weights[slice], tokens, acc);
        tokens.advance<kShape>();
    }
    store_sums<V, kTokens>(acc, sums);
}

// The widest tile: what registers hold, or V's own choice if its accumulators lie in memory anyway.
template <typename V>
constexpr uint32_t tile_tokens_max(const Shape& shape) {
    const uint32_t fits =
        (V::kRegisters - V::kSpareRegisters) / (register_sets(shape) * V::kRowSets);
    return fits < V::kTokenTileMin ? V::kTokenTileMin
                                   : (fits > V::kTokenTile ? V::kTokenTile : fits);
}

// Up to so many tokens the tile unpacks for itself.
template <typename V, typename Type>
constexpr uint32_t kPackedTokens =
    Type::kPackedTokens < tile_tokens_max<V>(Type::kShape) ? Type::kPackedTokens
                                                           : tile_tokens_max<V>(Type::kShape);

using PackedTile = void (*)(const std::byte*, uint32_t, TileTokens, Ahead, float (*)[kPanelRows]);
template <typename V, Shape kShape>
using UnpackedTile = void (*)(const UnpackedSlice<V, kShape>*, uint32_t, TileTokens, Ahead,
                              float (*)[kPanelRows]);

// The tiles of 1 to kCount tokens. (A list of its own for want of std::index_sequence, which is a
// library template.)
template <typename V, typename Type, uint32_t kCount>
struct PackedTiles : PackedTiles<V, Type, kCount - 1> {
    [[gnu::always_inline]] static PackedTile of(uint32_t tokens) {
        return tokens == kCount ? packed_tile<V, Type, kCount>
                                : PackedTiles<V, Type, kCount - 1>::of(tokens);
    }
};

template <typename V, typename Type>
struct PackedTiles<V, Type, 0> {
    [[gnu::always_inline]] static PackedTile of(uint32_t /*tokens*/) { return nullptr; }
};

template <typename V, Shape kShape, uint32_t kCount>
struct UnpackedTiles : UnpackedTiles<V, kShape, kCount - 1> {
    [[gnu::always_inline]] static UnpackedTile<V, kShape> of(uint32_t tokens) {
        return tokens == kCount ? unpacked_tile<V, kShape, kCount>
                                : UnpackedTiles<V, kShape, kCount - 1>::of(tokens);
    }
};

template <typename V, Shape kShape>
struct UnpackedTiles<V, kShape, 0> {
    [[gnu::always_inline]] static UnpackedTile<V, kShape> of(uint32_t /*tokens*/) {
        return nullptr;
    }
};

template <typename V, typename Type>
void packed_part(const std::byte* panel, const Activations& x, const Part& part, const Terms& terms,
                 ChunkSums& sums) {
    PackedTiles<V, Type, kPackedTokens<V, Type>>::of(part.tokens)(
        panel, part.slices, tile_tokens<Type>(x, part, terms, 0, 0),
        Ahead{panel + kPrefetchBytes, kSliceBytes<Type>}, sums);
}

// More tokens: a stretch of the panel is unpacked once, then every tile of tokens goes over it.
template <typename V, typename Type>
void unpacked_part(const std::byte* panel, const Activations& x, const Part& part,
                   const Terms& terms, ChunkSums& sums) {
    constexpr Shape kShape = unpacked_shape(Type::kShape);
    constexpr uint32_t kStretch = stretch_slices(kShape);
    UnpackedSlice<V, kShape> weights[kStretch];
    constexpr uint32_t kWidest = tile_tokens_max<V>(kShape);
    const uint32_t tiles = (part.tokens + kWidest - 1) / kWidest;
    const uint32_t each = (part.tokens + tiles - 1) / tiles;
    for (uint32_t first = 0; first < part.slices; first += kStretch) {
        const uint32_t left = part.slices - first;
        const uint32_t slices = left < kStretch ? left : kStretch;
        for (uint32_t slice = 0; slice < slices; ++slice) {
            const uint32_t place = first + slice;
            const std::byte* block = panel + place / Type::kSlices * Type::kBlock.bytes;
            weights[slice].assign(PackedSlice<V, Type>{block, place % Type::kSlices});
        }
        for (uint32_t token = 0; token < part.tokens; token += each) {
            const uint32_t tokens = part.tokens - token < each ? part.tokens - token : each;
            UnpackedTiles<V, kShape, kWidest>::of(tokens)(
                weights, slices, tile_tokens<Type>(x, part, terms, token, first),
                next_stretch<Type>(panel, part, first, slices, token / each, tiles), sums + token);
        }
    }
}

template <typename V, typename Type>
void quantised_part(const std::byte* panel, const Activations& x, const Part& part,
                    const Terms& terms, ChunkSums& sums) {
    panel += static_cast<size_t>(part.first / Type::kSlices) * Type::kBlock.bytes;
    if (part.tokens <= kPackedTokens<V, Type>) {
        packed_part<V, Type>(panel, x, part, terms, sums);
    } else {
        unpacked_part<V, Type>(panel, x, part, terms, sums);
    }
}

// Sums of a panel to or from out [token][row]; the last panel has less than 16 rows.
inline void copy_sums(bool to_out, const Part& part, uint32_t rows, float* out, size_t out_stride,
                      ChunkSums& sums) {
    for (uint32_t t = 0; t < part.tokens; ++t) {
        float* place = out + (part.token + t) * out_stride;
        if (to_out && rows == kPanelRows) {  // Known, so that no function is called.
            __builtin_memcpy(place, sums[t], kPanelRows * sizeof(float));
        } else if (to_out) {
            __builtin_memcpy(place, sums[t], rows * sizeof(float));
        } else {
            __builtin_memcpy(sums[t], place, rows * sizeof(float));
        }
    }
}

// Parts of k for as many slices as the terms of `tokens` tokens have room for.
inline uint32_t part_slices(uint32_t slices, uint32_t tokens) {
    const uint32_t most = kTermsMax / tokens / kStretchSlices * kStretchSlices;
    return slices < most ? slices : most;
}

template <typename V, typename Type>
void multiply_panels(const PackedMatrix& w, uint32_t panel_begin, uint32_t panel_end,
                     const Activations& x, float* out, size_t out_stride) {
    if (x.tokens == 0) {
        return;
    }
    const uint64_t panel_bytes = packed_bytes(w.type, 1, w.columns);
    const uint32_t chunks = (x.tokens + kTokenChunk - 1) / kTokenChunk;
    const uint32_t chunk =
        (x.tokens + chunks - 1) / chunks;  // Equal ones: no small one at the end.
    const uint32_t slices = x.k / kBlockColumns;
    const uint32_t step = part_slices(slices, chunk);
    ChunkSums sums;
    Terms terms;
    for (uint32_t token = 0; token < x.tokens; token += chunk) {
        for (uint32_t first = 0; first < slices; first += step) {
            const Part part{.token = token,
                            .tokens = x.tokens - token < chunk ? x.tokens - token : chunk,
                            .first = first,
                            .slices = slices - first < step ? slices - first : step,
                            .panel_bytes = panel_bytes};
            gather_terms<Type>(x, part, terms);
            for (uint32_t panel = panel_begin; panel < panel_end; ++panel) {
                const uint32_t row = panel * kPanelRows;
                const uint32_t rows = w.rows - row < kPanelRows ? w.rows - row : kPanelRows;
                __builtin_memset(sums, 0, part.tokens * sizeof sums[0]);
                if (first > 0) {
                    copy_sums(false, part, rows, out + row, out_stride, sums);
                }
                quantised_part<V, Type>(w.data + panel * panel_bytes, x, part, terms, sums);
                copy_sums(true, part, rows, out + row, out_stride, sums);
            }
        }
    }
}

}  // namespace
}  // namespace rekindle::kernels::vnni
