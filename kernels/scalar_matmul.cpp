// Matrix product, quantisation and row lookup in plain C++: the reference for every other table.
//
// Quantised types, for every output and for the slices b of 32 columns in ascending order, with the
// halves h of 16 columns:
//     dot  = sum over h of factor[h] * sum over its k of quant(W) * quant(A)      exact, int32
//     acc  = fma(dW[b] * dA[b], float(dot), acc)                                  float32
//     sum  = sum over h of min[h] * sum over its k of quant(A)                    exact, int32
//     acc  = fma(oW[b], dA[b] * float(sum), acc)                                  with offsets only
// (detail/scalar_unpack.h says which type has what; factors and mins are 1 for most.) float(dot)
// and float(sum) are exact for inputs of 8 bits: |dot| < 2^24 for Q6_K's extremes, 32 * 128 * 127 *
// 32. Of 16 bits, |dot| < 2^31 by the choice of kQuant16Max, float(dot) is the nearest float, the
// even one of two (cvtdq2ps), and float(sum) is exact. So this order is the whole definition:
// tables that keep to it agree with this one bit for bit.
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

// Where column c of four lies in `quants16`.
constexpr uint32_t place16(uint32_t c) {
    constexpr uint32_t kPlaces[] = {0, 2, 1, 3};
    return c / 4 * 4 + kPlaces[c % 4];
}

// A token's 32 columns of a slice.
struct InputSlice {
    InputSlice(const Activations& x, uint32_t token, uint32_t slice) {
        const size_t slices = x.k / kBlockColumns;
        const size_t first = size_t{token} * x.k + size_t{slice} * kBlockColumns;
        scale = x.scales[token * slices + slice];
        for (uint32_t c = 0; c < kBlockColumns; ++c) {
            quants[c] =
                x.quants16 != nullptr ? x.quants16[first + place16(c)] : x.quants[first + c];
        }
        for (uint32_t half = 0; half < 2; ++half) {
            half_sums[half] = x.quants16 != nullptr
                                  ? x.half_sums16[(size_t{token} * 2 + half) * slices + slice]
                                  : x.half_sums[(token * slices + slice) * 2 + half];
        }
    }

    int16_t quants[kBlockColumns];
    int32_t half_sums[2];
    float scale;
};

void accumulate_slice(const PanelSlice& w, bool offsets, const InputSlice& x,
                      float (&acc)[kPanelRows]) {
    for (uint32_t row = 0; row < kPanelRows; ++row) {
        int32_t dots[2] = {};
        for (uint32_t c = 0; c < kBlockColumns / 2; ++c) {
            dots[0] += w.quants[row][c] * x.quants[c];
            dots[1] += w.quants[row][c + kBlockColumns / 2] * x.quants[c + kBlockColumns / 2];
        }
        const int32_t dot = w.factors[0][row] * dots[0] + w.factors[1][row] * dots[1];
        acc[row] = std::fma(w.scales[row] * x.scale, static_cast<float>(dot), acc[row]);
        if (offsets) {
            const int32_t sum = w.mins[0][row] * x.half_sums[0] + w.mins[1][row] * x.half_sums[1];
            acc[row] = std::fma(w.offsets[row], x.scale * static_cast<float>(sum), acc[row]);
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
            accumulate_slice(unpacked, offsets, InputSlice(x, token + t, slice), acc[t]);
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

// Rounds a block to integers of up to `steps`; gives its scale.
float quantize_block(const float* values, float steps, int32_t (&quants)[kBlockColumns],
                     int32_t (&half_sums)[2]) {
    uint32_t max_bits = 0;  // Bits of non-negative floats order as the floats; NaN is above all.
    for (uint32_t c = 0; c < kBlockColumns; ++c) {
        max_bits = std::max(max_bits, std::bit_cast<uint32_t>(values[c]) & 0x7fffffffU);
    }
    const float max = std::bit_cast<float>(max_bits);
    const bool finite = max_bits < 0x7f800000U;
    const bool zero = finite && max < kQuantizeFloor;
    const float inverse = finite && !zero ? steps / max : 0.0F;
    half_sums[0] = 0;
    half_sums[1] = 0;
    for (uint32_t c = 0; c < kBlockColumns; ++c) {
        quants[c] = finite ? round_to_int(values[c] * inverse) : 0;
        half_sums[c / (kBlockColumns / 2)] += quants[c];
    }
    if (!finite) {
        return std::bit_cast<float>(0x7fc00000U);
    }
    return zero ? 0.0F : max / steps;
}

}  // namespace

void quantize(const float* values, uint32_t k, int8_t* quants, float* scales,
              int16_t* half_sums) noexcept {
    for (uint32_t block = 0; block < k / kBlockColumns; ++block) {
        const size_t first = size_t{block} * kBlockColumns;
        int32_t rounded[kBlockColumns];
        int32_t sums[2];
        scales[block] = quantize_block(values + first, 127.0F, rounded, sums);
        std::transform(rounded, rounded + kBlockColumns, quants + first,
                       [](int32_t quant) { return static_cast<int8_t>(quant); });
        half_sums[2 * block] = static_cast<int16_t>(sums[0]);
        half_sums[2 * block + 1] = static_cast<int16_t>(sums[1]);
    }
}

void quantize16(const float* values, uint32_t k, int16_t* quants, float* scales,
                int32_t* half_sums) noexcept {
    const uint32_t blocks = k / kBlockColumns;
    for (uint32_t block = 0; block < blocks; ++block) {
        const size_t first = size_t{block} * kBlockColumns;
        int32_t rounded[kBlockColumns];
        int32_t sums[2];
        scales[block] = quantize_block(values + first, kQuant16Max, rounded, sums);
        for (uint32_t c = 0; c < kBlockColumns; ++c) {
            quants[first + place16(c)] = static_cast<int16_t>(rounded[c]);
        }
        half_sums[block] = sums[0];
        half_sums[blocks + block] = sums[1];
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
