// Matrix product for AVX2: tiles of 16 rows x up to 4 tokens, two registers of eight rows. Every
// token has its own accumulator and goes through k in ascending order, so its bits don't depend on
// its tile. scalar_matmul.cpp states the order of the quantised types; it is the same here.
#pragma once
#include "kernels/detail/avx2_types.inl"
#include "kernels/detail/r16.h"
#include "kernels/kernel_table.h"

#include <immintrin.h>

namespace rekindle::kernels::avx2 {
namespace {

constexpr uint32_t kRowHalves = 2;    // Registers for the 16 rows of a panel.
constexpr uint32_t kTokenTile = 4;    // 8 integer accumulators beside weights and masks.
constexpr uint32_t kTokenChunk = 64;  // Tokens that pass over a panel before the next one starts.

// Four int8 of one token for all rows.
[[gnu::always_inline]] inline __m256i broadcast_quants(const int8_t* quants) {
    int32_t four = 0;
    __builtin_memcpy(&four, quants, sizeof four);
    return _mm256_set1_epi32(four);
}

// The sums of a token's two halves of a slice as int16 pairs, for all rows.
[[gnu::always_inline]] inline __m256i broadcast_sums(const int16_t* half_sums) {
    int32_t two = 0;
    __builtin_memcpy(&two, half_sums, sizeof two);
    return _mm256_set1_epi32(two);
}

// What multiplies the products of columns 0 to 15 and of 16 to 31, as int16, twice for each row.
struct SliceFactors {
    __m256i pairs;  // (first, second) of each row.
    __m256i half[2];
};

template <typename Type>
[[gnu::always_inline]] inline SliceFactors slice_factors(const std::byte* block, uint32_t slice,
                                                         uint32_t rows) {
    if constexpr (Type::kScaling == Scaling::kHalves || Type::kScaling == Scaling::kHalvesOffset) {
        const __m256i both = Type::factors(block, slice, rows);
        const __m256i upper = _mm256_srli_epi32(both, 16);
        const __m256i lower = _mm256_blend_epi16(both, _mm256_setzero_si256(), 0xaa);
        return {both,
                {_mm256_or_si256(lower, _mm256_slli_epi32(lower, 16)),
                 _mm256_or_si256(upper, _mm256_slli_epi32(upper, 16))}};
    } else {
        const __m256i one = _mm256_set1_epi16(1);
        return {one, {one, one}};
    }
}

// The slice's products of kTokens tokens, for eight rows: exact integers.
template <typename Type, uint32_t kTokens>
[[gnu::always_inline]] inline void slice_dots(const std::byte* block, uint32_t slice, uint32_t rows,
                                              const SliceFactors& factors, const int8_t* quants,
                                              size_t quants_stride, __m256i (&dots)[kTokens]) {
#pragma clang loop unroll(full)
    for (uint32_t first = 0; first < detail::kSliceGroups; first += Type::kSumGroups) {
        __m256i sums[kTokens];
#pragma clang loop unroll(full)
        for (uint32_t i = 0; i < Type::kSumGroups; ++i) {
            const uint32_t g = first + i;
            const __m256i weights = Type::group(block, slice, g, rows);
            const __m256i magnitude = Type::kSigned ? _mm256_abs_epi8(weights) : weights;
#pragma clang loop unroll(full)
            for (uint32_t t = 0; t < kTokens; ++t) {
                __m256i four =
                    broadcast_quants(quants + t * quants_stride + g * detail::kLaneColumns);
                four = Type::kSigned ? _mm256_sign_epi8(four, weights) : four;
                const __m256i products = _mm256_maddubs_epi16(magnitude, four);
                sums[t] = i == 0 ? products : _mm256_add_epi16(sums[t], products);
            }
        }
        const __m256i factor = factors.half[first / (detail::kSliceGroups / 2)];
#pragma clang loop unroll(full)
        for (uint32_t t = 0; t < kTokens; ++t) {
            dots[t] = _mm256_add_epi32(dots[t], _mm256_madd_epi16(sums[t], factor));
        }
    }
}

// Adds a slice of 16 rows x 32 columns to the accumulators. `quants` [token] points at the slice's
// columns, `place` [token] at its scale.
template <typename Type, uint32_t kTokens>
[[gnu::always_inline]] inline void add_slice(const std::byte* block, uint32_t slice,
                                             const Activations& x, const int8_t* quants,
                                             size_t place, __m256 (&acc)[kTokens][kRowHalves]) {
    const size_t slices = x.k / kBlockColumns;
    for (uint32_t rows = 0; rows < kRowHalves; ++rows) {
        const SliceFactors factors = slice_factors<Type>(block, slice, rows);
        __m256i dots[kTokens];
#pragma clang loop unroll(full)
        for (uint32_t t = 0; t < kTokens; ++t) {
            dots[t] = _mm256_setzero_si256();
            if constexpr (Type::kBias != 0) {
                const __m256i sums = broadcast_sums(x.half_sums + (place + t * slices) * 2);
                const __m256i weighted = _mm256_madd_epi16(sums, factors.pairs);
                dots[t] = _mm256_mullo_epi32(weighted, _mm256_set1_epi32(-Type::kBias));
            }
        }
        slice_dots<Type>(block, slice, rows, factors, quants, x.k, dots);
        const __m256 scales = Type::scales(block, slice, rows);
#pragma clang loop unroll(full)
        for (uint32_t t = 0; t < kTokens; ++t) {
            const __m256 x_scale = _mm256_set1_ps(x.scales[place + t * slices]);
            acc[t][rows] = _mm256_fmadd_ps(_mm256_mul_ps(scales, x_scale),
                                           _mm256_cvtepi32_ps(dots[t]), acc[t][rows]);
            if constexpr (Type::kScaling == Scaling::kOffset ||
                          Type::kScaling == Scaling::kHalvesOffset) {
                __m256i mins = _mm256_set1_epi16(1);
                if constexpr (Type::kScaling == Scaling::kHalvesOffset) {
                    mins = Type::mins(block, slice, rows);
                }
                const __m256i sums = broadcast_sums(x.half_sums + (place + t * slices) * 2);
                const __m256 sum = _mm256_cvtepi32_ps(_mm256_madd_epi16(sums, mins));
                acc[t][rows] = _mm256_fmadd_ps(Type::offsets(block, slice, rows),
                                               _mm256_mul_ps(x_scale, sum), acc[t][rows]);
            }
        }
    }
}

template <typename Type, uint32_t kTokens>
[[gnu::always_inline]] inline void quantised_tile(const std::byte* panel, const Activations& x,
                                                  uint32_t token,
                                                  __m256 (&acc)[kTokens][kRowHalves]) {
    const uint32_t slices = x.k / kBlockColumns;
    const int8_t* quants = x.quants + static_cast<size_t>(token) * x.k;
    const size_t place = static_cast<size_t>(token) * slices;
    for (uint32_t first = 0; first < slices; first += Type::kSlices) {
        for (uint32_t slice = 0; slice < Type::kSlices; ++slice) {
            add_slice<Type>(panel, slice, x, quants, place + first + slice, acc);
            quants += kBlockColumns;
        }
        panel += Type::kBlock.bytes;
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
[[gnu::always_inline]] inline void float_tile(const std::byte* panel, const Activations& x,
                                              uint32_t token, __m256 (&acc)[kTokens][kRowHalves]) {
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
}

// out [token][row] of kTokens tokens, `rows` of the panel's 16 (fewer in the last one).
template <typename Type, uint32_t kTokens>
void compute_tile(const std::byte* panel, const Activations& x, uint32_t token, float* out,
                  size_t out_stride, uint32_t rows) {
    __m256 acc[kTokens][kRowHalves];
    for (uint32_t t = 0; t < kTokens; ++t) {
        acc[t][0] = _mm256_setzero_ps();
        acc[t][1] = _mm256_setzero_ps();
    }
    if constexpr (Type::kQuantised) {
        quantised_tile<Type>(panel, x, token, acc);
    } else {
        float_tile<Type>(panel, x, token, acc);
    }
    for (uint32_t t = 0; t < kTokens; ++t) {
        alignas(32) float whole[kPanelRows];
        _mm256_store_ps(whole, acc[t][0]);
        _mm256_store_ps(whole + kLanes, acc[t][1]);
        __builtin_memcpy(out + t * out_stride, whole, rows * sizeof(float));
    }
}

using Tile = void (*)(const std::byte* panel, const Activations& x, uint32_t token, float* out,
                      size_t out_stride, uint32_t rows);

template <typename Type>
void compute_panels(const PackedMatrix& w, uint64_t panel_bytes, uint32_t panel_begin,
                    uint32_t panel_end, const Activations& x, float* out, size_t out_stride) {
    static constexpr Tile kTiles[kTokenTile + 1] = {nullptr, compute_tile<Type, 1>,
                                                    compute_tile<Type, 2>, compute_tile<Type, 3>,
                                                    compute_tile<Type, 4>};
    for (uint32_t chunk = 0; chunk < x.tokens; chunk += kTokenChunk) {
        const uint32_t chunk_end = x.tokens - chunk < kTokenChunk ? x.tokens : chunk + kTokenChunk;
        for (uint32_t panel = panel_begin; panel < panel_end; ++panel) {
            const uint32_t row = panel * kPanelRows;
            const uint32_t rows = w.rows - row < kPanelRows ? w.rows - row : kPanelRows;
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
}  // namespace rekindle::kernels::avx2
