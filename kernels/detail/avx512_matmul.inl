// Matrix product for AVX-512 VNNI: tiles of 16 rows x up to 8 tokens, one row a lane. Every token
// has its own accumulator and goes through k in ascending order, so its bits don't depend on its
// tile. scalar_matmul.cpp states the order of the quantised types; it is the same here.
#pragma once
#include "kernels/detail/avx512_common.inl"
#include "kernels/detail/avx512_types.inl"
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

template <typename Type>
constexpr bool kHasHalves =
    Type::kScaling == Scaling::kHalves || Type::kScaling == Scaling::kHalvesOffset;
template <typename Type>
constexpr bool kHasOffsets =
    Type::kScaling == Scaling::kOffset || Type::kScaling == Scaling::kHalvesOffset;

template <typename Type>
constexpr bool kInputs16 = sizeof(typename Type::Quant) == sizeof(int16_t);

// What a tile needs of 16 slices of its tokens beside the quants, gathered so that the inner loop
// reads it at fixed places: [token][slice].
template <uint32_t kTokens>
struct SliceTerms {
    alignas(64) float scales[kTokens][kLanes];
    alignas(64) int32_t sums[2][kTokens][kLanes];  // Of halves; of int8, pairs of int16 in [0].
    alignas(64) int32_t biases[kTokens][kLanes];   // -kBias * sum: where the integer dot starts.
    alignas(64) float offsets[kTokens][kLanes];    // scale * sum
};

template <typename Type, uint32_t kTokens>
[[gnu::always_inline]] inline void gather_terms(const Activations& x, uint32_t token,
                                                uint32_t first_slice, SliceTerms<kTokens>& terms) {
    const uint32_t slices = x.k / kBlockColumns;
    const __mmask16 mask = first_lanes(slices - first_slice);
    for (uint32_t t = 0; t < kTokens; ++t) {
        const size_t place = static_cast<size_t>(token + t) * slices + first_slice;
        const __m512 scales = _mm512_maskz_loadu_ps(mask, x.scales + place);
        _mm512_store_ps(terms.scales[t], scales);
        __m512i halves[kInputs16<Type> ? 2 : 1];
        if constexpr (kInputs16<Type>) {
            const int32_t* sums = x.half_sums16 + (place - first_slice) * 2 + first_slice;
            halves[0] = _mm512_maskz_loadu_epi32(mask, sums);
            halves[1] = _mm512_maskz_loadu_epi32(mask, sums + slices);
        } else {
            halves[0] = _mm512_maskz_loadu_epi32(mask, x.half_sums + place * 2);
        }
        if constexpr (kHasHalves<Type>) {
            _mm512_store_si512(terms.sums[0][t], halves[0]);
            if constexpr (kInputs16<Type>) {
                _mm512_store_si512(terms.sums[1][t], halves[1]);
            }
        } else {
            __m512i sums = halves[0];
            if constexpr (kInputs16<Type>) {
                sums = _mm512_add_epi32(sums, halves[1]);
            } else {
                sums = _mm512_madd_epi16(sums, _mm512_set1_epi16(1));
            }
            if constexpr (kHasOffsets<Type>) {
                _mm512_store_ps(terms.offsets[t], _mm512_mul_ps(scales, _mm512_cvtepi32_ps(sums)));
            } else {
                _mm512_store_si512(terms.biases[t],
                                   _mm512_mullo_epi32(sums, _mm512_set1_epi32(-Type::kBias)));
            }
        }
    }
}

// The lower (0) or upper (1) int16 of each row, as int32.
[[gnu::always_inline]] inline __m512i half_of_pairs(__m512i pairs, uint32_t half) {
    return _mm512_srai_epi32(half == 0 ? _mm512_slli_epi32(pairs, 16) : pairs, 16);
}

// Groups [first, end) of a slice into the integer dots.
template <typename Type, uint32_t kTokens>
[[gnu::always_inline]] inline void add_groups(const std::byte* block, uint32_t slice,
                                              uint32_t first, uint32_t end,
                                              const typename Type::Quant* quants,
                                              size_t quants_stride, __m512i (&dots)[kTokens]) {
#pragma clang loop unroll(full)
    for (uint32_t g = first; g < end; ++g) {
        const __m512i weights = Type::group(block, slice, g);
#pragma clang loop unroll(full)
        for (uint32_t t = 0; t < kTokens; ++t) {
            const auto* four = quants + t * quants_stride + g * detail::kLaneColumns;
            if constexpr (kInputs16<Type>) {
                const __m512i even = _mm512_and_si512(weights, _mm512_set1_epi16(0xff));
                const __m512i odd = _mm512_srli_epi16(weights, 8);
                dots[t] = _mm512_dpwssd_epi32(dots[t], even, broadcast_quants(four));
                dots[t] = _mm512_dpwssd_epi32(dots[t], odd, broadcast_quants(four + 2));
            } else {
                dots[t] = _mm512_dpbusd_epi32(dots[t], weights, broadcast_quants(four));
            }
        }
    }
}

// What the sums of the slice's halves are, each times its int16 of `factors`.
template <typename Type, uint32_t kTokens>
[[gnu::always_inline]] inline __m512i weigh_sums(const SliceTerms<kTokens>& terms, uint32_t t,
                                                 uint32_t index, __m512i factors) {
    const __m512i first = _mm512_set1_epi32(terms.sums[0][t][index]);
    if constexpr (kInputs16<Type>) {
        const __m512i second = _mm512_set1_epi32(terms.sums[1][t][index]);
        return _mm512_add_epi32(_mm512_mullo_epi32(first, half_of_pairs(factors, 0)),
                                _mm512_mullo_epi32(second, half_of_pairs(factors, 1)));
    } else {
        return _mm512_madd_epi16(first, factors);
    }
}

// Types with a factor for each 16 columns: their halves are multiplied and added up.
template <typename Type, uint32_t kTokens>
[[gnu::always_inline]] inline void half_dots(const std::byte* block, uint32_t slice,
                                             const typename Type::Quant* quants,
                                             size_t quants_stride, const SliceTerms<kTokens>& terms,
                                             uint32_t index, __m512i (&dots)[kTokens]) {
    const __m512i factors = Type::factors(block, slice);
    const __m512i lower = half_of_pairs(factors, 0);
    const __m512i upper = half_of_pairs(factors, 1);
    __m512i halves[2][kTokens];
#pragma clang loop unroll(full)
    for (uint32_t t = 0; t < kTokens; ++t) {
        halves[0][t] = _mm512_setzero_si512();
        halves[1][t] = _mm512_setzero_si512();
    }
    add_groups<Type>(block, slice, 0, 4, quants, quants_stride, halves[0]);
    add_groups<Type>(block, slice, 4, 8, quants, quants_stride, halves[1]);
#pragma clang loop unroll(full)
    for (uint32_t t = 0; t < kTokens; ++t) {
        dots[t] = _mm512_add_epi32(_mm512_mullo_epi32(halves[0][t], lower),
                                   _mm512_mullo_epi32(halves[1][t], upper));
        if constexpr (Type::kBias != 0) {
            const __m512i bias = _mm512_mullo_epi32(weigh_sums<Type>(terms, t, index, factors),
                                                    _mm512_set1_epi32(Type::kBias));
            dots[t] = _mm512_sub_epi32(dots[t], bias);
        }
    }
}

template <typename Type, uint32_t kTokens>
[[gnu::always_inline]] inline void add_offsets(const std::byte* block, uint32_t slice,
                                               const SliceTerms<kTokens>& terms, uint32_t index,
                                               __m512 (&acc)[kTokens]) {
    const __m512 offsets = Type::offsets(block, slice);
    if constexpr (kHasHalves<Type>) {
        const __m512i mins = Type::mins(block, slice);
#pragma clang loop unroll(full)
        for (uint32_t t = 0; t < kTokens; ++t) {
            const __m512i sums = weigh_sums<Type>(terms, t, index, mins);
            const __m512 term =
                _mm512_mul_ps(_mm512_set1_ps(terms.scales[t][index]), _mm512_cvtepi32_ps(sums));
            acc[t] = _mm512_fmadd_ps(offsets, term, acc[t]);
        }
    } else {
#pragma clang loop unroll(full)
        for (uint32_t t = 0; t < kTokens; ++t) {
            acc[t] = _mm512_fmadd_ps(offsets, _mm512_set1_ps(terms.offsets[t][index]), acc[t]);
        }
    }
}

// Adds one slice of 16 rows x 32 columns to the accumulators. `index` counts from the first of the
// slices in `terms`; `quants` [token] points at the slice's 32 columns.
template <typename Type, uint32_t kTokens>
[[gnu::always_inline]] inline void add_slice(const std::byte* block, uint32_t slice,
                                             const typename Type::Quant* quants,
                                             size_t quants_stride, const SliceTerms<kTokens>& terms,
                                             uint32_t index, __m512 (&acc)[kTokens]) {
    __m512i dots[kTokens];
    if constexpr (kHasHalves<Type>) {
        half_dots<Type>(block, slice, quants, quants_stride, terms, index, dots);
    } else {
#pragma clang loop unroll(full)
        for (uint32_t t = 0; t < kTokens; ++t) {
            dots[t] = Type::kBias == 0 ? _mm512_setzero_si512()
                                       : _mm512_set1_epi32(terms.biases[t][index]);
        }
        add_groups<Type>(block, slice, 0, detail::kSliceGroups, quants, quants_stride, dots);
    }
    const __m512 scales = Type::scales(block, slice);
#pragma clang loop unroll(full)
    for (uint32_t t = 0; t < kTokens; ++t) {
        const __m512 scale = _mm512_mul_ps(scales, _mm512_set1_ps(terms.scales[t][index]));
        acc[t] = _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(dots[t]), acc[t]);
    }
    if constexpr (kHasOffsets<Type>) {
        add_offsets<Type>(block, slice, terms, index, acc);
    }
}

template <typename Type, uint32_t kTokens>
[[gnu::always_inline]] inline void quantised_tile(const std::byte* panel, const Activations& x,
                                                  uint32_t token, __m512 (&acc)[kTokens]) {
    static_assert(kLanes % Type::kSlices == 0);
    const uint32_t slices = x.k / kBlockColumns;
    const typename Type::Quant* quants = nullptr;
    if constexpr (kInputs16<Type>) {
        quants = x.quants16 + static_cast<size_t>(token) * x.k;
    } else {
        quants = x.quants + static_cast<size_t>(token) * x.k;
    }
    for (uint32_t first = 0; first < slices; first += kLanes) {
        SliceTerms<kTokens> terms;
        gather_terms<Type>(x, token, first, terms);
        const uint32_t count = slices - first < kLanes ? slices - first : kLanes;
        for (uint32_t index = 0; index < count; ++index) {
            add_slice<Type>(panel, index % Type::kSlices, quants, x.k, terms, index, acc);
            panel += (index + 1) % Type::kSlices == 0 ? Type::kBlock.bytes : 0;
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
