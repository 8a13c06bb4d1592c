// Matrix product for AVX2: tiles of 16 rows x up to 4 tokens, two registers of eight rows. Every
// token has its own accumulator and goes through k in ascending order, so its bits don't depend on
// its tile. scalar_matmul.cpp states the order of the quantised types; it is the same here.
#pragma once
#include "kernels/detail/r16.h"
#include "kernels/kernel_table.h"

#include <immintrin.h>

namespace rekindle::kernels::avx2 {
namespace {

constexpr uint32_t kLanes = 8;        // Floats in a 256-bit register.
constexpr uint32_t kRowHalves = 2;    // Registers for the 16 rows of a panel.
constexpr uint32_t kTokenTile = 4;    // 8 integer accumulators beside weights and masks.
constexpr uint32_t kTokenChunk = 64;  // Tokens that pass over a panel before the next one starts.

[[gnu::always_inline]] inline __m256i load_bytes(const void* place) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(place));
}

// Eight F16 values, exactly.
[[gnu::always_inline]] inline __m256 load_halves(const void* place) {
    return _mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(place)));
}

// Four int8 of one token for all rows.
[[gnu::always_inline]] inline __m256i broadcast_quants(const int8_t* quants) {
    int32_t four = 0;
    __builtin_memcpy(&four, quants, sizeof four);
    return _mm256_set1_epi32(four);
}

// Adds four products a row, exactly: pairs stay within int16 (15 * 127 * 2, and 128 * 127 * 2 for
// the signed form below).
[[gnu::always_inline]] inline __m256i add_dot(__m256i dots, __m256i pairs) {
    return _mm256_add_epi32(dots, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

// Nibbles are multiplied as they are (unsigned); kBias * sum(activations) is taken off the dot.
template <uint32_t kBlock, uint32_t kQuantsAt, bool kOffset, int32_t kZero>
struct NibbleType {
    static constexpr bool kQuantised = true;
    static constexpr uint32_t kBlockBytes = kBlock;
    static constexpr uint32_t kGroups = detail::kNibbleGroups;
    static constexpr bool kHasOffset = kOffset;
    static constexpr int32_t kBias = kZero;

    struct Weights {
        __m256i low;   // Columns 4 j … of eight rows.
        __m256i high;  // Columns 16 + 4 j ….
    };

    [[gnu::always_inline]] static Weights weights(const std::byte* block, uint32_t group,
                                                  uint32_t half) {
        const __m256i nibble = _mm256_set1_epi8(15);
        const __m256i pair =
            load_bytes(block + kQuantsAt + group * detail::kGroupBytes + half * 32);
        return {_mm256_and_si256(pair, nibble),
                _mm256_and_si256(_mm256_srli_epi16(pair, 4), nibble)};
    }

    [[gnu::always_inline]] static __m256i dot(__m256i dots, const Weights& w,
                                              const int8_t* quants) {
        dots = add_dot(dots, _mm256_maddubs_epi16(w.low, broadcast_quants(quants)));
        const __m256i upper = broadcast_quants(quants + kBlockColumns / 2);
        return add_dot(dots, _mm256_maddubs_epi16(w.high, upper));
    }
};

using Q4_0 = NibbleType<detail::kQ4_0BlockBytes, detail::kQ4_0Quants, false, 8>;
using Q4_1 = NibbleType<detail::kQ4_1BlockBytes, detail::kQ4_1Quants, true, 0>;

// Signed bytes: |w| * (a with w's sign).
struct Q8_0 {
    static constexpr bool kQuantised = true;
    static constexpr uint32_t kBlockBytes = detail::kQ8_0BlockBytes;
    static constexpr uint32_t kGroups = detail::kByteGroups;
    static constexpr bool kHasOffset = false;
    static constexpr int32_t kBias = 0;

    struct Weights {
        __m256i magnitude;
        __m256i sign;
    };

    [[gnu::always_inline]] static Weights weights(const std::byte* block, uint32_t group,
                                                  uint32_t half) {
        const __m256i bytes =
            load_bytes(block + detail::kQ8_0Quants + group * detail::kGroupBytes + half * 32);
        return {_mm256_abs_epi8(bytes), bytes};
    }

    [[gnu::always_inline]] static __m256i dot(__m256i dots, const Weights& w,
                                              const int8_t* quants) {
        const __m256i signed_quants = _mm256_sign_epi8(broadcast_quants(quants), w.sign);
        return add_dot(dots, _mm256_maddubs_epi16(w.magnitude, signed_quants));
    }
};

// Adds one block of 16 rows x 32 columns to the accumulators. `quants` [token] points at the
// block's columns, `place` [token] at its scale and sum.
template <typename Type, uint32_t kTokens>
[[gnu::always_inline]] inline void add_block(const std::byte* block, const Activations& x,
                                             const int8_t* quants, size_t place,
                                             __m256 (&acc)[kTokens][kRowHalves]) {
    const size_t blocks = x.k / kBlockColumns;
    for (uint32_t half = 0; half < kRowHalves; ++half) {
        __m256i dots[kTokens];
#pragma clang loop unroll(full)
        for (uint32_t t = 0; t < kTokens; ++t) {
            dots[t] = _mm256_set1_epi32(-Type::kBias * x.sums[place + t * blocks]);
        }
#pragma clang loop unroll(full)
        for (uint32_t group = 0; group < Type::kGroups; ++group) {
            const typename Type::Weights weights = Type::weights(block, group, half);
#pragma clang loop unroll(full)
            for (uint32_t t = 0; t < kTokens; ++t) {
                const int8_t* four = quants + t * size_t{x.k} + group * detail::kLaneColumns;
                dots[t] = Type::dot(dots[t], weights, four);
            }
        }
        const __m256 scales = load_halves(block + half * 16);
#pragma clang loop unroll(full)
        for (uint32_t t = 0; t < kTokens; ++t) {
            const __m256 x_scale = _mm256_set1_ps(x.scales[place + t * blocks]);
            acc[t][half] = _mm256_fmadd_ps(_mm256_mul_ps(scales, x_scale),
                                           _mm256_cvtepi32_ps(dots[t]), acc[t][half]);
            if constexpr (Type::kHasOffset) {
                const __m256 offsets = load_halves(block + detail::kQ4_1Offsets + half * 16);
                const float x_offset =
                    x.scales[place + t * blocks] * static_cast<float>(x.sums[place + t * blocks]);
                acc[t][half] = _mm256_fmadd_ps(offsets, _mm256_set1_ps(x_offset), acc[t][half]);
            }
        }
    }
}

template <typename Type, uint32_t kTokens>
[[gnu::always_inline]] inline void quantised_tile(const std::byte* panel, const Activations& x,
                                                  uint32_t token,
                                                  __m256 (&acc)[kTokens][kRowHalves]) {
    const uint32_t blocks = x.k / kBlockColumns;
    const int8_t* quants = x.quants + static_cast<size_t>(token) * x.k;
    for (uint32_t block = 0; block < blocks; ++block) {
        add_block<Type>(panel, x, quants, static_cast<size_t>(token) * blocks + block, acc);
        panel += Type::kBlockBytes;
        quants += kBlockColumns;
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
