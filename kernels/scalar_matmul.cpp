// Matrix product, quantisation and row lookup in plain C++: the reference for every other table.
//
// Quantised types, for every output and for the slices b of 32 columns in ascending order, with the
// halves h of 16 columns:
//     dot  = sum over h of factor[h] * sum over its k of quant(W) * quant(A)      exact, int32
//     acc  = fma(dW[b] * dA[b], float(dot), acc)                                  float32
//     sum  = sum over h of min[h] * sum over its k of quant(A)                    exact, int32
//     acc  = fma(oW[b], dA[b] * float(sum), acc)                                  with offsets only
// (detail/scalar_unpack.h says which type has what; factors and mins are 1 for most.) float(dot)
// and float(sum) are exact: |dot| < 2^24 for Q6_K's extremes, 32 * 128 * 127 * 32. So this order is
// the whole definition: tables that keep to it agree with this one bit for bit.
#include "kernels/detail/half.h"
#include "kernels/detail/r16.h"
#include "kernels/detail/scalar_unpack.h"
#include "kernels/detail/tables.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace rekindle::kernels::scalar {
namespace {

using detail::PanelSlice;

// Tokens that share one unpacked slice: their 16 accumulators each stay in the first-level cache.
constexpr uint32_t kTokenTile = 8;

uint16_t load_half(const std::byte* place) {
    uint16_t half = 0;
    std::memcpy(&half, place, sizeof half);
    return half;
}

void accumulate_slice(const PanelSlice& w, bool offsets, const Activations& x, uint32_t token,
                      uint32_t slice, float (&acc)[kPanelRows]) {
    const size_t x_slice = size_t{token} * (x.k / kBlockColumns) + slice;
    int16_t quants[kBlockColumns];
    for (uint32_t c = 0; c < kBlockColumns; ++c) {
        quants[c] = x.quants[size_t{token} * x.k + size_t{slice} * kBlockColumns + c];
    }
    const float x_scale = x.scales[x_slice];
    const int16_t* half_sums = x.half_sums + x_slice * 2;
    for (uint32_t row = 0; row < kPanelRows; ++row) {
        int32_t dots[2] = {};
        for (uint32_t c = 0; c < kBlockColumns / 2; ++c) {
            dots[0] += w.quants[row][c] * quants[c];
            dots[1] += w.quants[row][c + kBlockColumns / 2] * quants[c + kBlockColumns / 2];
        }
        const int32_t dot = w.factors[0][row] * dots[0] + w.factors[1][row] * dots[1];
        acc[row] = std::fma(w.scales[row] * x_scale, static_cast<float>(dot), acc[row]);
        if (offsets) {
            const int32_t sum = w.mins[0][row] * half_sums[0] + w.mins[1][row] * half_sums[1];
            acc[row] = std::fma(w.offsets[row], x_scale * static_cast<float>(sum), acc[row]);
        }
    }
}

void quantised_tile(WeightType type, const std::byte* panel, const Activations& x, uint32_t token,
                    uint32_t tokens, float (&acc)[kTokenTile][kPanelRows]) {
    const bool offsets = detail::has_offsets(type);
    for (uint32_t slice = 0; slice < x.k / kBlockColumns; ++slice) {
        PanelSlice unpacked;
        detail::unpack_slice(type, panel, slice, 0, kPanelRows, unpacked);
        for (uint32_t t = 0; t < tokens; ++t) {
            accumulate_slice(unpacked, offsets, x, token + t, slice, acc[t]);
        }
    }
}

struct F32 {
    static float load(const std::byte* panel, uint32_t k, uint32_t row) {
        float value = 0;
        std::memcpy(&value, panel + (size_t{k} * kPanelRows + row) * 4, sizeof value);
        return value;
    }
};

struct F16 {
    static float load(const std::byte* panel, uint32_t k, uint32_t row) {
        return detail::half_to_float(load_half(panel + (size_t{k} * kPanelRows + row) * 2));
    }
};

struct BF16 {
    static float load(const std::byte* panel, uint32_t k, uint32_t row) {
        const size_t pair = size_t{k / 2} * kPanelRows + row;
        return detail::bfloat_to_float(load_half(panel + pair * 4 + k % 2 * 2));
    }
};

// Not fused: a product and a sum for each k, so that baseline SSE2 does four rows at a time.
template <typename Type>
void float_tile(const std::byte* panel, const Activations& x, uint32_t token, uint32_t tokens,
                float (&acc)[kTokenTile][kPanelRows]) {
    for (uint32_t k = 0; k < x.k; ++k) {
        float weights[kPanelRows];
        for (uint32_t row = 0; row < kPanelRows; ++row) {
            weights[row] = Type::load(panel, k, row);
        }
        for (uint32_t t = 0; t < tokens; ++t) {
            const float value = x.values[size_t{token + t} * x.k + k];
            for (uint32_t row = 0; row < kPanelRows; ++row) {
                acc[t][row] += weights[row] * value;
            }
        }
    }
}

void compute_tile(WeightType type, const std::byte* panel, const Activations& x, uint32_t token,
                  uint32_t tokens, float (&acc)[kTokenTile][kPanelRows]) {
    switch (type) {
        case WeightType::kF32:
            return float_tile<F32>(panel, x, token, tokens, acc);
        case WeightType::kF16:
            return float_tile<F16>(panel, x, token, tokens, acc);
        case WeightType::kBF16:
            return float_tile<BF16>(panel, x, token, tokens, acc);
        default:
            return quantised_tile(type, panel, x, token, tokens, acc);
    }
}

// Round to nearest even for |value| < 2^22: adding 1.5 * 2^23 leaves no bits for a fraction.
int32_t round_to_int(float value) {
    constexpr float kShift = 0x1.8p23f;
    return static_cast<int32_t>((value + kShift) - kShift);
}

void quantize_block(const float* values, int8_t* quants, float& scale, int16_t* half_sums) {
    uint32_t max_bits = 0;  // Bits of non-negative floats order as the floats; NaN is above all.
    for (uint32_t c = 0; c < kBlockColumns; ++c) {
        max_bits = std::max(max_bits, std::bit_cast<uint32_t>(values[c]) & 0x7fffffffU);
    }
    const float max = std::bit_cast<float>(max_bits);
    const bool finite = max_bits < 0x7f800000U;
    const bool zero = finite && max < kQuantizeFloor;
    const float inverse = finite && !zero ? 127.0F / max : 0.0F;
    scale = zero ? 0.0F : max / 127.0F;
    if (!finite) {
        scale = std::bit_cast<float>(0x7fc00000U);
    }
    int32_t sums[2] = {};
    for (uint32_t c = 0; c < kBlockColumns; ++c) {
        const int32_t quant = finite ? round_to_int(values[c] * inverse) : 0;
        quants[c] = static_cast<int8_t>(quant);
        sums[c / (kBlockColumns / 2)] += quant;
    }
    half_sums[0] = static_cast<int16_t>(sums[0]);
    half_sums[1] = static_cast<int16_t>(sums[1]);
}

}  // namespace

void quantize(const float* values, uint32_t k, int8_t* quants, float* scales,
              int16_t* half_sums) noexcept {
    for (uint32_t block = 0; block < k / kBlockColumns; ++block) {
        const size_t first = size_t{block} * kBlockColumns;
        quantize_block(values + first, quants + first, scales[block],
                       half_sums + size_t{block} * 2);
    }
}

void matmul(const PackedMatrix& w, uint32_t panel_begin, uint32_t panel_end, const Activations& x,
            float* out, size_t out_stride) noexcept {
    const uint64_t panel_bytes = packed_bytes(w.type, 1, w.columns);
    for (uint32_t panel = panel_begin; panel < panel_end; ++panel) {
        const uint32_t first_row = panel * kPanelRows;
        const uint32_t rows = std::min(kPanelRows, w.rows - first_row);
        for (uint32_t token = 0; token < x.tokens; token += kTokenTile) {
            const uint32_t tokens = std::min(kTokenTile, x.tokens - token);
            float acc[kTokenTile][kPanelRows] = {};
            compute_tile(w.type, w.data + panel * panel_bytes, x, token, tokens, acc);
            for (uint32_t t = 0; t < tokens; ++t) {
                std::memcpy(out + (token + t) * out_stride + first_row, acc[t],
                            rows * sizeof(float));
            }
        }
    }
}

void dequantize_row(const PackedMatrix& w, uint32_t row, float* out) noexcept {
    const std::byte* panel = w.data + row / kPanelRows * packed_bytes(w.type, 1, w.columns);
    const uint32_t lane = row % kPanelRows;
    const auto each_value = [&]<typename Type>() {
        for (uint32_t k = 0; k < w.columns; ++k) {
            out[k] = Type::load(panel, k, lane);
        }
    };
    const auto each_slice = [&] {
        PanelSlice slice;
        for (uint32_t first = 0; first < w.columns; first += kBlockColumns) {
            detail::unpack_slice(w.type, panel, first / kBlockColumns, lane, lane + 1, slice);
            for (uint32_t c = 0; c < kBlockColumns; ++c) {
                const uint32_t half = c / (kBlockColumns / 2);
                const auto quant =
                    static_cast<float>(slice.factors[half][lane] * slice.quants[lane][c]);
                const auto min = static_cast<float>(slice.mins[half][lane]);
                out[first + c] = slice.scales[lane] * quant + slice.offsets[lane] * min;
            }
        }
    };
    switch (w.type) {
        case WeightType::kF32:
            return each_value.operator()<F32>();
        case WeightType::kF16:
            return each_value.operator()<F16>();
        case WeightType::kBF16:
            return each_value.operator()<BF16>();
        default:
            return each_slice();
    }
}

}  // namespace rekindle::kernels::scalar
