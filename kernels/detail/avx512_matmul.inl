// Matrix product for AVX-512 VNNI: quantised types as vnni_matmul.inl has it, float types in tiles
// of 16 rows x up to 12 tokens, one row a lane. Every output has its own accumulator that goes
// through k in ascending order.
#pragma once
#include "kernels/detail/avx512_common.inl"
#include "kernels/detail/avx512_ops.inl"
#include "kernels/detail/avx512_types.inl"
#include "kernels/detail/r16.h"
#include "kernels/detail/vnni_matmul.inl"
#include "kernels/kernel_table.h"

namespace rekindle::kernels::avx512_vnni {
namespace {

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

// out [token][row] of kTokens tokens; `rows` masks the padding of the last panel.
template <typename Type, uint32_t kTokens>
void float_tile(const std::byte* panel, const Activations& x, uint32_t token, float* out,
                size_t out_stride, __mmask16 rows) {
    __m512 acc[kTokens];
    for (uint32_t t = 0; t < kTokens; ++t) {
        acc[t] = _mm512_setzero_ps();
    }
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
    for (uint32_t t = 0; t < kTokens; ++t) {
        _mm512_mask_storeu_ps(out + t * out_stride, rows, acc[t]);
    }
}

// Tokens that pass over a panel before the next panel starts: those of 1,536 floats are 288 KiB,
// which the second-level cache keeps while the panels stream by.
constexpr uint32_t kFloatChunk = 4 * Operations::kTokenTile;

template <typename Type>
void float_panels(const PackedMatrix& w, uint64_t panel_bytes, uint32_t panel_begin,
                  uint32_t panel_end, const Activations& x, float* out, size_t out_stride) {
    using Tile =
        void (*)(const std::byte*, const Activations&, uint32_t, float*, size_t, __mmask16);
    static constexpr Tile kTiles[] = {
        nullptr,
        float_tile<Type, 1>,
        float_tile<Type, 2>,
        float_tile<Type, 3>,
        float_tile<Type, 4>,
        float_tile<Type, 5>,
        float_tile<Type, 6>,
        float_tile<Type, 7>,
        float_tile<Type, 8>,
        float_tile<Type, 9>,
        float_tile<Type, 10>,
        float_tile<Type, 11>,
        float_tile<Type, Operations::kTokenTile>,
    };
    for (uint32_t chunk = 0; chunk < x.tokens; chunk += kFloatChunk) {
        const uint32_t end = x.tokens - chunk < kFloatChunk ? x.tokens : chunk + kFloatChunk;
        for (uint32_t panel = panel_begin; panel < panel_end; ++panel) {
            const uint32_t row = panel * kPanelRows;
            const std::byte* data = w.data + panel * panel_bytes;
            for (uint32_t token = chunk; token < end; token += Operations::kTokenTile) {
                const uint32_t left = end - token;
                const Tile tile =
                    kTiles[left < Operations::kTokenTile ? left : Operations::kTokenTile];
                tile(data, x, token, out + token * out_stride + row, out_stride,
                     first_lanes(w.rows - row));
            }
        }
    }
}

template <typename Type>
void compute_panels(const PackedMatrix& w, uint64_t panel_bytes, uint32_t panel_begin,
                    uint32_t panel_end, const Activations& x, float* out, size_t out_stride) {
    if constexpr (Type::kQuantised) {
        vnni::multiply_panels<Operations, Type>(w, panel_begin, panel_end, x, out, out_stride);
    } else {
        float_panels<Type>(w, panel_bytes, panel_begin, panel_end, x, out, out_stride);
    }
}

}  // namespace
}  // namespace rekindle::kernels::avx512_vnni
