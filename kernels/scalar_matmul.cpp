// Matrix product, quantisation and row lookup in plain C++: the reference for every other table.
//
// Quantised types, for every output and for the blocks b in ascending order:
//     dot  = sum over the block's k of (integer weight) * (integer activation)    exact, int32
//     acc  = fma(dW[b] * dA[b], float(dot), acc)                                  float32
//     acc  = fma(oW[b], dA[b] * float(sum[b]), acc)                               Q4_1 only
// float(dot) and float(sum) are exact (below 2^24), so this order is the whole definition: tables
// that keep to it agree with this one bit for bit.
#include "kernels/detail/half.h"
#include "kernels/detail/r16.h"
#include "kernels/detail/tables.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace rekindle::kernels::scalar {
namespace {

using detail::kGroupBytes;
using detail::kLaneColumns;
using detail::kNibbleGroups;

// Tokens that share one unpacked block: their 16 accumulators each stay in the first-level cache.
constexpr uint32_t kTokenTile = 8;

// One block of 16 rows x 32 columns, unpacked.
struct PanelBlock {
    float scales[kPanelRows];
    float offsets[kPanelRows];
    int16_t quants[kPanelRows][kBlockColumns];
};

uint16_t load_half(const std::byte* place) {
    uint16_t half = 0;
    std::memcpy(&half, place, sizeof half);
    return half;
}

void unpack_halves(const std::byte* halves, float (&out)[kPanelRows]) {
    for (uint32_t row = 0; row < kPanelRows; ++row) {
        out[row] = detail::half_to_float(load_half(halves + row * 2));
    }
}

// Low nibbles are the first 16 columns, high nibbles the last 16. `zero` is the nibble that means
// 0.
void unpack_nibbles(const std::byte* groups, int zero, PanelBlock& out) {
    for (uint32_t group = 0; group < kNibbleGroups; ++group) {
        for (uint32_t place = 0; place < kGroupBytes; ++place) {
            const int pair = std::to_integer<int>(groups[group * kGroupBytes + place]);
            int16_t* row = out.quants[place / kLaneColumns];
            const uint32_t column = group * kLaneColumns + place % kLaneColumns;
            row[column] = static_cast<int16_t>((pair & 15) - zero);
            row[column + kBlockColumns / 2] = static_cast<int16_t>((pair >> 4) - zero);
        }
    }
}

struct Q4_0 {
    static constexpr uint32_t kBlockBytes = detail::kQ4_0BlockBytes;
    static constexpr bool kHasOffset = false;

    static void unpack(const std::byte* block, PanelBlock& out) {
        unpack_halves(block, out.scales);
        unpack_nibbles(block + detail::kQ4_0Quants, 8, out);
    }
};

struct Q4_1 {
    static constexpr uint32_t kBlockBytes = detail::kQ4_1BlockBytes;
    static constexpr bool kHasOffset = true;

    static void unpack(const std::byte* block, PanelBlock& out) {
        unpack_halves(block, out.scales);
        unpack_halves(block + detail::kQ4_1Offsets, out.offsets);
        unpack_nibbles(block + detail::kQ4_1Quants, 0, out);
    }
};

struct Q8_0 {
    static constexpr uint32_t kBlockBytes = detail::kQ8_0BlockBytes;
    static constexpr bool kHasOffset = false;

    static void unpack(const std::byte* block, PanelBlock& out) {
        unpack_halves(block, out.scales);
        const std::byte* groups = block + detail::kQ8_0Quants;
        for (uint32_t place = 0; place < detail::kByteGroups * kGroupBytes; ++place) {
            const uint32_t row = place % kGroupBytes / kLaneColumns;
            const uint32_t column = place / kGroupBytes * kLaneColumns + place % kLaneColumns;
            out.quants[row][column] = std::to_integer<int8_t>(groups[place]);
        }
    }
};

template <bool kHasOffset>
void accumulate_block(const PanelBlock& block, const Activations& x, uint32_t token, uint32_t index,
                      float (&acc)[kPanelRows]) {
    const size_t column = size_t{index} * kBlockColumns;
    const size_t x_block = size_t{token} * (x.k / kBlockColumns) + index;
    int16_t quants[kBlockColumns];
    for (uint32_t c = 0; c < kBlockColumns; ++c) {
        quants[c] = x.quants[size_t{token} * x.k + column + c];
    }
    const float x_scale = x.scales[x_block];
    const float x_offset = x_scale * static_cast<float>(x.sums[x_block]);
    for (uint32_t row = 0; row < kPanelRows; ++row) {
        int32_t dot = 0;
        for (uint32_t c = 0; c < kBlockColumns; ++c) {
            dot += block.quants[row][c] * quants[c];
        }
        acc[row] = std::fma(block.scales[row] * x_scale, static_cast<float>(dot), acc[row]);
        if constexpr (kHasOffset) {
            acc[row] = std::fma(block.offsets[row], x_offset, acc[row]);
        }
    }
}

template <typename Type>
void quantised_tile(const std::byte* panel, const Activations& x, uint32_t token, uint32_t tokens,
                    float (&acc)[kTokenTile][kPanelRows]) {
    for (uint32_t block = 0; block < x.k / kBlockColumns; ++block) {
        PanelBlock unpacked;
        Type::unpack(panel + size_t{block} * Type::kBlockBytes, unpacked);
        for (uint32_t t = 0; t < tokens; ++t) {
            accumulate_block<Type::kHasOffset>(unpacked, x, token + t, block, acc[t]);
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
        case WeightType::kQ4_0:
            return quantised_tile<Q4_0>(panel, x, token, tokens, acc);
        case WeightType::kQ4_1:
            return quantised_tile<Q4_1>(panel, x, token, tokens, acc);
        case WeightType::kQ8_0:
            return quantised_tile<Q8_0>(panel, x, token, tokens, acc);
    }
}

// Round to nearest even for |value| < 2^22: adding 1.5 * 2^23 leaves no bits for a fraction.
int32_t round_to_int(float value) {
    constexpr float kShift = 0x1.8p23f;
    return static_cast<int32_t>((value + kShift) - kShift);
}

void quantize_block(const float* values, int8_t* quants, float& scale, int32_t& sum) {
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
    sum = 0;
    for (uint32_t c = 0; c < kBlockColumns; ++c) {
        const int32_t quant = finite ? round_to_int(values[c] * inverse) : 0;
        quants[c] = static_cast<int8_t>(quant);
        sum += quant;
    }
}

}  // namespace

void quantize(const float* values, uint32_t k, int8_t* quants, float* scales,
              int32_t* sums) noexcept {
    for (uint32_t block = 0; block < k / kBlockColumns; ++block) {
        const size_t first = size_t{block} * kBlockColumns;
        quantize_block(values + first, quants + first, scales[block], sums[block]);
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
    const auto each_block = [&]<typename Type>() {
        for (uint32_t block = 0; block < w.columns / kBlockColumns; ++block) {
            PanelBlock unpacked;
            Type::unpack(panel + size_t{block} * Type::kBlockBytes, unpacked);
            for (uint32_t c = 0; c < kBlockColumns; ++c) {
                const float value = unpacked.scales[lane] * unpacked.quants[lane][c];
                out[block * kBlockColumns + c] =
                    Type::kHasOffset ? value + unpacked.offsets[lane] : value;
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
        case WeightType::kQ4_0:
            return each_block.operator()<Q4_0>();
        case WeightType::kQ4_1:
            return each_block.operator()<Q4_1>();
        case WeightType::kQ8_0:
            return each_block.operator()<Q8_0>();
    }
}

}  // namespace rekindle::kernels::scalar
