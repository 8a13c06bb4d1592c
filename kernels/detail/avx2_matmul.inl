// Matrix product for AVX2. Every output has its own accumulator that goes through k in ascending
// order, so its bits don't depend on the tile, the chunk or the part of k that computes it.
// scalar_matmul.cpp states the order of the quantised types; it is the same here.
#pragma once
#include "kernels/detail/avx2_terms.inl"
#include "kernels/detail/avx2_tile.inl"
#include "kernels/detail/avx2_tile16.inl"
#include "kernels/detail/avx2_types.inl"
#include "kernels/detail/r16.h"
#include "kernels/kernel_table.h"

#include <immintrin.h>

namespace rekindle::kernels::avx2 {
namespace {

constexpr uint32_t kTokenTile = 4;    // 8 int16 sums beside weights, a broadcast and a product.
constexpr uint32_t kTokenChunk = 64;  // Tokens that pass over a panel before the next one starts.

// Slices that all tiles of a chunk go over before the next ones: unpacked, half of the first-level
// cache.
constexpr uint32_t kStretchSlices = 32;

constexpr uint32_t stretch_slices(const Shape& shape) {
    return shape.inputs16 ? kStretchSlices / 2 : kStretchSlices;
}

// How far ahead of the products weights are fetched. Streams from memory gain 20 to 60 % over what
// the processor fetches by itself; 1 KiB is too near, 4 and 8 KiB are no better.
constexpr uint32_t kPrefetchBytes = 2048;

using ChunkSums = float[kTokenChunk][kPanelRows];

// What one pass over a panel computes: slices [first, first + slices) of `tokens` tokens.
struct Part {
    uint32_t token;
    uint32_t tokens;
    uint32_t first;
    uint32_t slices;
    uint64_t panel_bytes;  // To the same place of the next panel.
};

template <uint32_t kTokens>
[[gnu::always_inline]] inline void load_sums(const float (*sums)[kPanelRows],
                                             Accumulators<kTokens>& acc) {
    for (uint32_t t = 0; t < kTokens; ++t) {
        acc[t][0] = _mm256_loadu_ps(sums[t]);
        acc[t][1] = _mm256_loadu_ps(sums[t] + kLanes);
    }
}

template <uint32_t kTokens>
[[gnu::always_inline]] inline void store_sums(const Accumulators<kTokens>& acc,
                                              float (*sums)[kPanelRows]) {
    for (uint32_t t = 0; t < kTokens; ++t) {
        _mm256_storeu_ps(sums[t], acc[t][0]);
        _mm256_storeu_ps(sums[t] + kLanes, acc[t][1]);
    }
}

template <typename Type>
constexpr uint32_t kSliceBytes = Type::kBlock.bytes / Type::kSlices;

// Weights that a tile fetches while it multiplies others: `step` bytes for each of its slices. Into
// the second-level cache: more reads are under way there than the first level can have, a third
// more bytes a second on two threads.
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

// What tile `tile` of `tiles` fetches while all of them go over a stretch of `slices` slices, whose
// weights they share: its part of the next stretch, so that memory is busy all the time.
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

// Few tokens: bits are unpacked in registers, as the weights stream by.
template <typename Type, uint32_t kTokens>
void packed_tile(const std::byte* block, uint32_t slices, TileTokens tokens, Ahead ahead,
                 float (*sums)[kPanelRows]) {
    Accumulators<kTokens> acc;
    load_sums<kTokens>(sums, acc);
    for (uint32_t slice = 0; slice < slices; slice += Type::kSlices) {
        for (uint32_t inner = 0; inner < Type::kSlices; ++inner) {
            ahead.fetch();
            add_any_slice<kTokens>(PackedSlice<Type>{block, inner}, tokens, acc);
            tokens.advance<Type::kShape>();
        }
        block += Type::kBlock.bytes;
    }
    store_sums<kTokens>(acc, sums);
}

template <Shape kShape, uint32_t kTokens>
void unpacked_tile(const UnpackedSlice<kShape>* weights, uint32_t slices, TileTokens tokens,
                   Ahead ahead, float (*sums)[kPanelRows]) {
    Accumulators<kTokens> acc;
    load_sums<kTokens>(sums, acc);
    for (uint32_t slice = 0; slice < slices; ++slice) {
        ahead.fetch();
        add_any_slice<kTokens>(weights[slice], tokens, acc);
        tokens.advance<kShape>();
    }
    store_sums<kTokens>(acc, sums);
}

template <typename Type>
TileTokens tile_tokens(const Activations& x, const Part& part, const Terms& terms, uint32_t token,
                       uint32_t slice) {
    constexpr uint32_t kWords = term_words(Type::kShape);
    const size_t slices = x.k / kBlockColumns;
    const size_t place = (part.token + token) * slices + part.first + slice;
    const size_t stride = static_cast<size_t>(part.slices) * kWords;
    TileTokens tokens{.scales = x.scales + place,
                      .terms = terms.words + token * stride + static_cast<size_t>(slice) * kWords,
                      .columns = x.k,
                      .slices = slices,
                      .term_stride = stride};
    if constexpr (Type::kShape.inputs16) {
        tokens.quants16 = x.quants16 + place * kBlockColumns;
        tokens.half_sums16 = x.half_sums16 + (part.token + token) * 2 * slices + part.first + slice;
    } else {
        tokens.quants = x.quants + place * kBlockColumns;
        tokens.half_sums = x.half_sums + place * 2;
    }
    return tokens;
}

// Many tokens: a stretch of the panel is unpacked once, then every tile of tokens goes over it.
template <typename Type>
void unpacked_part(const std::byte* panel, const Activations& x, const Part& part,
                   const Terms& terms, ChunkSums& sums) {
    constexpr Shape kShape = unpacked_shape(Type::kShape);
    constexpr uint32_t kStretch = stretch_slices(kShape);
    using Tile =
        void (*)(const UnpackedSlice<kShape>*, uint32_t, TileTokens, Ahead, float(*)[kPanelRows]);
    static constexpr Tile kTiles[kTokenTile + 1] = {
        nullptr, unpacked_tile<kShape, 1>, unpacked_tile<kShape, 2>, unpacked_tile<kShape, 3>,
        unpacked_tile<kShape, 4>};
    UnpackedSlice<kShape> weights[kStretch];
    const uint32_t tiles = (part.tokens + kTokenTile - 1) / kTokenTile;
    for (uint32_t first = 0; first < part.slices; first += kStretch) {
        const uint32_t left = part.slices - first;
        const uint32_t slices = left < kStretch ? left : kStretch;
        for (uint32_t slice = 0; slice < slices; ++slice) {
            const uint32_t place = first + slice;
            const std::byte* block = panel + place / Type::kSlices * Type::kBlock.bytes;
            weights[slice].assign(PackedSlice<Type>{block, place % Type::kSlices});
        }
        for (uint32_t token = 0; token < part.tokens; token += kTokenTile) {
            const uint32_t tokens = part.tokens - token;
            kTiles[tokens < kTokenTile ? tokens : kTokenTile](
                weights, slices, tile_tokens<Type>(x, part, terms, token, first),
                next_stretch<Type>(panel, part, first, slices, token / kTokenTile, tiles),
                sums + token);
        }
    }
}

// Up to Type::kPackedTokens tokens: every tile unpacks for itself, the first one out of memory.
template <typename Type>
void packed_part(const std::byte* panel, const Activations& x, const Part& part, const Terms& terms,
                 ChunkSums& sums) {
    using Tile = void (*)(const std::byte*, uint32_t, TileTokens, Ahead, float(*)[kPanelRows]);
    constexpr uint32_t kWidest = Type::kPackedTokens < kTokenTile ? 2 : kTokenTile;
    static constexpr Tile kTiles[] = {nullptr, packed_tile<Type, 1>, packed_tile<Type, 2>,
                                      packed_tile<Type, kWidest - 1>, packed_tile<Type, kWidest>};
    const uint32_t tiles = (part.tokens + kWidest - 1) / kWidest;
    const uint32_t stretch = tiles > 1 ? kStretchSlices : part.slices;
    for (uint32_t first = 0; first < part.slices; first += stretch) {
        const uint32_t left = part.slices - first;
        const uint32_t slices = left < stretch ? left : stretch;
        const std::byte* block = panel + first / Type::kSlices * Type::kBlock.bytes;
        for (uint32_t token = 0; token < part.tokens; token += kWidest) {
            const uint32_t tokens = part.tokens - token;
            const Ahead ahead =
                tiles == 1 ? Ahead{block + kPrefetchBytes, kSliceBytes<Type>}
                           : next_stretch<Type>(panel, part, first, slices, token / kWidest, tiles);
            kTiles[tokens < kWidest ? tokens : kWidest](
                block, slices, tile_tokens<Type>(x, part, terms, token, first), ahead,
                sums + token);
        }
    }
}

template <typename Type>
void quantised_part(const std::byte* panel, const Activations& x, const Part& part,
                    const Terms& terms, ChunkSums& sums) {
    panel += static_cast<size_t>(part.first / Type::kSlices) * Type::kBlock.bytes;
    if (part.tokens <= Type::kPackedTokens) {
        packed_part<Type>(panel, x, part, terms, sums);
    } else if constexpr (Type::kPackedTokens < kTokenChunk) {
        unpacked_part<Type>(panel, x, part, terms, sums);
    }
}

// Float types: one k of eight rows.
struct F32 {
    static constexpr bool kQuantised = false;

    [[gnu::always_inline]] static __m256 weights(const std::byte* panel, uint32_t k,
                                                 uint32_t half) {
        const std::byte* place = panel + (static_cast<size_t>(k) * kPanelRows + half * kLanes) * 4;
        return _mm256_loadu_ps(reinterpret_cast<const float*>(place));
    }
};

struct F16 {
    static constexpr bool kQuantised = false;

    [[gnu::always_inline]] static __m256 weights(const std::byte* panel, uint32_t k,
                                                 uint32_t half) {
        return load_halves(panel + (static_cast<size_t>(k) * kPanelRows + half * kLanes) * 2);
    }
};

struct BF16 {
    static constexpr bool kQuantised = false;

    [[gnu::always_inline]] static __m256 weights(const std::byte* panel, uint32_t k,
                                                 uint32_t half) {
        const size_t pair = static_cast<size_t>(k / 2) * kPanelRows + half * kLanes;
        const __m256i pairs = load_bytes(panel + pair * 4);
        const __m256i upper = _mm256_set1_epi32(static_cast<int32_t>(0xffff0000U));
        return _mm256_castsi256_ps(k % 2 == 0 ? _mm256_slli_epi32(pairs, 16)
                                              : _mm256_and_si256(pairs, upper));
    }
};

template <typename Type, uint32_t kTokens>
void float_tile(const std::byte* panel, const Activations& x, uint32_t token,
                float (*sums)[kPanelRows]) {
    Accumulators<kTokens> acc;
    load_sums<kTokens>(sums, acc);
    const float* values = x.values + static_cast<size_t>(token) * x.k;
    for (uint32_t k = 0; k < x.k; ++k) {
        const __m256 low = Type::weights(panel, k, 0);
        const __m256 high = Type::weights(panel, k, 1);
#pragma clang loop unroll(full)
        for (uint32_t t = 0; t < kTokens; ++t) {
            const __m256 value = _mm256_set1_ps(values[static_cast<size_t>(t) * x.k + k]);
            acc[t][0] = _mm256_fmadd_ps(low, value, acc[t][0]);
            acc[t][1] = _mm256_fmadd_ps(high, value, acc[t][1]);
        }
    }
    store_sums<kTokens>(acc, sums);
}

template <typename Type>
void float_part(const std::byte* panel, const Activations& x, const Part& part, ChunkSums& sums) {
    using Tile = void (*)(const std::byte*, const Activations&, uint32_t, float(*)[kPanelRows]);
    static constexpr Tile kTiles[kTokenTile + 1] = {nullptr, float_tile<Type, 1>,
                                                    float_tile<Type, 2>, float_tile<Type, 3>,
                                                    float_tile<Type, 4>};
    for (uint32_t token = 0; token < part.tokens; token += kTokenTile) {
        const uint32_t left = part.tokens - token;
        kTiles[left < kTokenTile ? left : kTokenTile](panel, x, part.token + token, sums + token);
    }
}

// Sums of a panel to or from out [token][row]; the last panel has less than 16 rows.
void copy_sums(bool to_out, const Part& part, uint32_t rows, float* out, size_t out_stride,
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

// Equal chunks of tokens, so that the last one is not a small one that unpacks for itself.
uint32_t chunk_tokens(uint32_t tokens) {
    const uint32_t chunks = (tokens + kTokenChunk - 1) / kTokenChunk;
    const uint32_t each = (tokens + chunks - 1) / chunks;
    return (each + kTokenTile - 1) / kTokenTile * kTokenTile;
}

// Parts of k for as many slices as the terms of `tokens` tokens have room for.
uint32_t part_slices(uint32_t slices, uint32_t tokens) {
    const uint32_t most = kTermsMax / tokens / kStretchSlices * kStretchSlices;
    return slices < most ? slices : most;
}

template <typename Type>
void compute_panels(const PackedMatrix& w, uint64_t panel_bytes, uint32_t panel_begin,
                    uint32_t panel_end, const Activations& x, float* out, size_t out_stride) {
    const uint32_t chunk = x.tokens == 0 ? 1 : chunk_tokens(x.tokens);
    const uint32_t slices = x.k / kBlockColumns;
    const uint32_t step = Type::kQuantised ? part_slices(slices, chunk) : slices;
    ChunkSums sums;
    Terms terms;
    for (uint32_t token = 0; token < x.tokens; token += chunk) {
        const uint32_t tokens = x.tokens - token < chunk ? x.tokens - token : chunk;
        uint32_t first = 0;
        do {
            const Part part{token, tokens, first, slices - first < step ? slices - first : step,
                            panel_bytes};
            if constexpr (Type::kQuantised) {
                gather_terms<Type>(x, token, tokens, first, part.slices, terms);
            }
            for (uint32_t panel = panel_begin; panel < panel_end; ++panel) {
                const uint32_t row = panel * kPanelRows;
                const uint32_t rows = w.rows - row < kPanelRows ? w.rows - row : kPanelRows;
                __builtin_memset(sums, 0, tokens * sizeof sums[0]);
                if (first > 0) {
                    copy_sums(false, part, rows, out + row, out_stride, sums);
                }
                if constexpr (Type::kQuantised) {
                    quantised_part<Type>(w.data + panel * panel_bytes, x, part, terms, sums);
                } else {
                    float_part<Type>(w.data + panel * panel_bytes, x, part, sums);
                }
                copy_sums(true, part, rows, out + row, out_stride, sums);
            }
            first += step;
        } while (first < slices);
    }
}

}  // namespace
}  // namespace rekindle::kernels::avx2
