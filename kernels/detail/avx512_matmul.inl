// Matrix product for AVX-512 VNNI: tiles of 16 rows x up to 8 tokens, one row a lane. Every token
// has its own accumulator and goes through k in ascending order, so its bits don't depend on its
// tile. scalar_matmul.cpp states the order of the quantised types; it is the same here.
#pragma once
#include "kernels/detail/avx512_common.inl"
#include "kernels/detail/r16.h"
#include "kernels/kernel_table.h"

namespace rekindle::kernels::avx512_vnni {
namespace {

// 8 tokens: 8 integer and 8 float accumulators, with room for two weight registers, masks and
// scales; wider tiles leave too few registers to start the next block early.
constexpr uint32_t kTokenTile = 8;

// Tokens that pass over a panel before the next panel starts: 64 tokens of 1,536 columns are 96
// KiB, which the second-level cache keeps while the panels stream by.
constexpr uint32_t kTokenChunk = 64;

// vpdpbusd takes unsigned weights: u = signed + kBias, corrected by -kBias * sum(activations).
struct Q4_0 {
    static constexpr bool kQuantised = true;
    static constexpr uint32_t kBlockBytes = detail::kQ4_0BlockBytes;
    static constexpr bool kHasOffset = false;
    static constexpr int32_t kBias = 8;

    // The groups of k-step j (low) and j + 4 (high).
    [[gnu::always_inline]] static void quants(const std::byte* block, uint32_t j, __m512i& low,
                                              __m512i& high) {
        split_nibbles(block + detail::kQ4_0Quants + j * detail::kGroupBytes, low, high);
    }

    [[gnu::always_inline]] static void split_nibbles(const std::byte* group, __m512i& low,
                                                     __m512i& high) {
        const __m512i nibble = _mm512_set1_epi8(15);
        const __m512i pair = load_bytes(group);
        low = _mm512_and_si512(pair, nibble);
        high = _mm512_and_si512(_mm512_srli_epi16(pair, 4), nibble);
    }
};

struct Q4_1 {
    static constexpr bool kQuantised = true;
    static constexpr uint32_t kBlockBytes = detail::kQ4_1BlockBytes;
    static constexpr bool kHasOffset = true;
    static constexpr int32_t kBias = 0;

    [[gnu::always_inline]] static void quants(const std::byte* block, uint32_t j, __m512i& low,
                                              __m512i& high) {
        Q4_0::split_nibbles(block + detail::kQ4_1Quants + j * detail::kGroupBytes, low, high);
    }
};

struct Q8_0 {
    static constexpr bool kQuantised = true;
    static constexpr uint32_t kBlockBytes = detail::kQ8_0BlockBytes;
    static constexpr bool kHasOffset = false;
    static constexpr int32_t kBias = 128;

    [[gnu::always_inline]] static void quants(const std::byte* block, uint32_t j, __m512i& low,
                                              __m512i& high) {
        const __m512i sign = _mm512_set1_epi8(-128);
        const std::byte* groups = block + detail::kQ8_0Quants;
        low = _mm512_xor_si512(load_bytes(groups + j * detail::kGroupBytes), sign);
        high = _mm512_xor_si512(load_bytes(groups + (j + 4) * detail::kGroupBytes), sign);
    }
};

// What a tile needs of 16 blocks of its tokens beside the quants, gathered so that the inner loop
// reads it at fixed places: [token][block].
template <uint32_t kTokens>
struct BlockFactors {
    alignas(64) float scales[kTokens][kLanes];
    alignas(64) int32_t biases[kTokens][kLanes];  // -kBias * sum: where the integer dot starts.
    alignas(64) float offsets[kTokens][kLanes];   // scale * sum; Q4_1 only.
};

template <typename Type, uint32_t kTokens>
[[gnu::always_inline]] inline void gather_factors(const Activations& x, uint32_t token,
                                                  uint32_t first_block,
                                                  BlockFactors<kTokens>& factors) {
    const uint32_t blocks = x.k / kBlockColumns;
    const __mmask16 mask = first_lanes(blocks - first_block);
    for (uint32_t t = 0; t < kTokens; ++t) {
        const size_t place = static_cast<size_t>(token + t) * blocks + first_block;
        const __m512 scales = _mm512_maskz_loadu_ps(mask, x.scales + place);
        const __m512i sums = _mm512_maskz_loadu_epi32(mask, x.sums + place);
        _mm512_store_ps(factors.scales[t], scales);
        if constexpr (Type::kHasOffset) {
            _mm512_store_ps(factors.offsets[t], _mm512_mul_ps(scales, _mm512_cvtepi32_ps(sums)));
        } else {
            _mm512_store_si512(factors.biases[t],
                               _mm512_mullo_epi32(sums, _mm512_set1_epi32(-Type::kBias)));
        }
    }
}

// Adds one block of 16 rows x 32 columns to the accumulators. `index` counts from the first of the
// blocks in `factors`; `quants` [token] points at the block's 32 columns.
template <typename Type, uint32_t kTokens>
[[gnu::always_inline]] inline void add_block(const std::byte* block, const int8_t* quants,
                                             size_t quants_stride,
                                             const BlockFactors<kTokens>& factors, uint32_t index,
                                             __m512 (&acc)[kTokens]) {
    __m512i dots[kTokens];
#pragma clang loop unroll(full)
    for (uint32_t t = 0; t < kTokens; ++t) {
        dots[t] =
            Type::kHasOffset ? _mm512_setzero_si512() : _mm512_set1_epi32(factors.biases[t][index]);
    }
#pragma clang loop unroll(full)
    for (uint32_t j = 0; j < detail::kNibbleGroups; ++j) {
        __m512i low;
        __m512i high;
        Type::quants(block, j, low, high);
#pragma clang loop unroll(full)
        for (uint32_t t = 0; t < kTokens; ++t) {
            const int8_t* four = quants + t * quants_stride + j * detail::kLaneColumns;
            dots[t] = _mm512_dpbusd_epi32(dots[t], low, broadcast_quants(four));
        }
#pragma clang loop unroll(full)
        for (uint32_t t = 0; t < kTokens; ++t) {
            const int8_t* four = quants + t * quants_stride + j * detail::kLaneColumns;
            dots[t] =
                _mm512_dpbusd_epi32(dots[t], high, broadcast_quants(four + kBlockColumns / 2));
        }
    }
    const __m512 scales = load_halves(block);
#pragma clang loop unroll(full)
    for (uint32_t t = 0; t < kTokens; ++t) {
        const __m512 scale = _mm512_mul_ps(scales, _mm512_set1_ps(factors.scales[t][index]));
        acc[t] = _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(dots[t]), acc[t]);
    }
    if constexpr (Type::kHasOffset) {
        const __m512 offsets = load_halves(block + detail::kQ4_1Offsets);
#pragma clang loop unroll(full)
        for (uint32_t t = 0; t < kTokens; ++t) {
            acc[t] = _mm512_fmadd_ps(offsets, _mm512_set1_ps(factors.offsets[t][index]), acc[t]);
        }
    }
}

template <typename Type, uint32_t kTokens>
[[gnu::always_inline]] inline void quantised_tile(const std::byte* panel, const Activations& x,
                                                  uint32_t token, __m512 (&acc)[kTokens]) {
    const uint32_t blocks = x.k / kBlockColumns;
    const int8_t* quants = x.quants + static_cast<size_t>(token) * x.k;
    for (uint32_t first = 0; first < blocks; first += kLanes) {
        BlockFactors<kTokens> factors;
        gather_factors<Type>(x, token, first, factors);
        const uint32_t count = blocks - first < kLanes ? blocks - first : kLanes;
        for (uint32_t index = 0; index < count; ++index) {
            add_block<Type>(panel, quants, x.k, factors, index, acc);
            panel += Type::kBlockBytes;
            quants += kBlockColumns;
        }
    }
}

// Float types: kStep consecutive k of 16 rows as floats.
struct F32 {
    static constexpr bool kQuantised = false;
    static constexpr uint32_t kStep = 1;

    [[gnu::always_inline]] static void weights(const std::byte* panel, uint32_t k,
                                               __m512 (&out)[kStep]) {
        out[0] = _mm512_loadu_ps(panel + static_cast<size_t>(k) * kPanelRows * 4);
    }
};

struct F16 {
    static constexpr bool kQuantised = false;
    static constexpr uint32_t kStep = 1;

    [[gnu::always_inline]] static void weights(const std::byte* panel, uint32_t k,
                                               __m512 (&out)[kStep]) {
        out[0] = load_halves(panel + static_cast<size_t>(k) * kPanelRows * 2);
    }
};

struct BF16 {
    static constexpr bool kQuantised = false;
    static constexpr uint32_t kStep = 2;

    [[gnu::always_inline]] static void weights(const std::byte* panel, uint32_t k,
                                               __m512 (&out)[kStep]) {
        const __m512i pairs = load_bytes(panel + static_cast<size_t>(k) * kPanelRows * 2);
        const __m512i upper = _mm512_set1_epi32(static_cast<int32_t>(0xffff0000U));
        out[0] = _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
        out[1] = _mm512_castsi512_ps(_mm512_and_si512(pairs, upper));
    }
};

template <typename Type, uint32_t kTokens>
[[gnu::always_inline]] inline void float_tile(const std::byte* panel, const Activations& x,
                                              uint32_t token, __m512 (&acc)[kTokens]) {
    const float* values = x.values + static_cast<size_t>(token) * x.k;
    for (uint32_t k = 0; k < x.k; k += Type::kStep) {
        __m512 weights[Type::kStep];
        Type::weights(panel, k, weights);
#pragma clang loop unroll(full)
        for (uint32_t step = 0; step < Type::kStep; ++step) {
#pragma clang loop unroll(full)
            for (uint32_t t = 0; t < kTokens; ++t) {
                const __m512 value =
                    _mm512_set1_ps(values[static_cast<size_t>(t) * x.k + k + step]);
                acc[t] = _mm512_fmadd_ps(weights[step], value, acc[t]);
            }
        }
    }
}

// out [token][row] of kTokens tokens; `rows` masks the padding of the last panel.
template <typename Type, uint32_t kTokens>
void compute_tile(const std::byte* panel, const Activations& x, uint32_t token, float* out,
                  size_t out_stride, __mmask16 rows) {
    __m512 acc[kTokens];
    for (uint32_t t = 0; t < kTokens; ++t) {
        acc[t] = _mm512_setzero_ps();
    }
    if constexpr (Type::kQuantised) {
        quantised_tile<Type>(panel, x, token, acc);
    } else {
        float_tile<Type>(panel, x, token, acc);
    }
    for (uint32_t t = 0; t < kTokens; ++t) {
        _mm512_mask_storeu_ps(out + t * out_stride, rows, acc[t]);
    }
}

using Tile = void (*)(const std::byte* panel, const Activations& x, uint32_t token, float* out,
                      size_t out_stride, __mmask16 rows);

template <typename Type>
void compute_panels(const PackedMatrix& w, uint64_t panel_bytes, uint32_t panel_begin,
                    uint32_t panel_end, const Activations& x, float* out, size_t out_stride) {
    static constexpr Tile kTiles[kTokenTile + 1] = {
        nullptr,
        compute_tile<Type, 1>,
        compute_tile<Type, 2>,
        compute_tile<Type, 3>,
        compute_tile<Type, 4>,
        compute_tile<Type, 5>,
        compute_tile<Type, 6>,
        compute_tile<Type, 7>,
        compute_tile<Type, 8>,
    };
    for (uint32_t chunk = 0; chunk < x.tokens; chunk += kTokenChunk) {
        const uint32_t chunk_end = x.tokens - chunk < kTokenChunk ? x.tokens : chunk + kTokenChunk;
        for (uint32_t panel = panel_begin; panel < panel_end; ++panel) {
            const uint32_t row = panel * kPanelRows;
            const __mmask16 rows = first_lanes(w.rows - row);
            const std::byte* data = w.data + panel * panel_bytes;
            for (uint32_t token = chunk; token < chunk_end; token += kTokenTile) {
                const uint32_t left = chunk_end - token;
                const Tile tile = kTiles[left < kTokenTile ? left : kTokenTile];
                tile(data, x, token, out + token * out_stride + row, out_stride, rows);
            }
        }
    }
}

}  // namespace
}  // namespace rekindle::kernels::avx512_vnni
