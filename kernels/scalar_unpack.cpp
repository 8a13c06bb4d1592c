#include "kernels/detail/scalar_unpack.h"

#include "kernels/detail/half.h"
#include "kernels/detail/r16.h"

#include <algorithm>
#include <cstring>

namespace rekindle::kernels::detail {
namespace {

// Bytes of a packed block by row, as GGUF's own block numbers them.
class Block {
public:
    Block(const std::byte* bytes, const BlockLayout& layout) : bytes_(bytes), layout_(layout) {}

    float scale(uint32_t row) const { return half(layout_.scales, row); }
    float offset(uint32_t row) const { return half(layout_.offsets, row); }
    // Byte `i` of the factors.
    int factor(uint32_t i, uint32_t row) const {
        return std::to_integer<int>(bytes_[layout_.factors + i * kPanelRows + row]);
    }
    // Byte `i` of the low and of the high bits.
    int low(uint32_t i, uint32_t row) const { return grouped(layout_.quants, i, row); }
    int high(uint32_t i, uint32_t row) const { return grouped(layout_.high, i, row); }

    uint16_t half_bits(uint32_t field, uint32_t row) const {
        uint16_t bits = 0;
        std::memcpy(&bits, bytes_ + field + row * sizeof bits, sizeof bits);
        return bits;
    }

private:
    float half(uint32_t field, uint32_t row) const { return half_to_float(half_bits(field, row)); }
    int grouped(uint32_t field, uint32_t i, uint32_t row) const {
        const uint32_t place = i / kLaneColumns * kGroupBytes + row * kLaneColumns;
        return std::to_integer<int>(bytes_[field + place + i % kLaneColumns]);
    }

    const std::byte* bytes_;
    const BlockLayout& layout_;
};

// The 6-bit factor and minimum of slice `s` in the 12 bytes of Q4_K and Q5_K.
struct FactorAndMin {
    int factor;
    int min;
};

FactorAndMin six_bit_pair(const Block& block, uint32_t s, uint32_t row) {
    if (s < 4) {
        return {block.factor(s, row) & 63, block.factor(s + 4, row) & 63};
    }
    const int low = block.factor(s + 4, row);
    return {(low & 15) | (block.factor(s - 4, row) >> 6 << 4),
            (low >> 4) | (block.factor(s, row) >> 6 << 4)};
}

// The 6-bit factor of 16 columns, number `i` of 16, in the 12 bytes of Q3_K.
int six_bit_factor(const Block& block, uint32_t i, uint32_t row) {
    const int low = i < 8 ? block.factor(i, row) & 15 : block.factor(i - 8, row) >> 4;
    const int high = (block.factor(8 + i % 4, row) >> (2 * (i / 4))) & 3;
    return (low | (high << 4)) - 32;
}

// What differs between the types: where a quant's bits are, and what multiplies it.
struct RowOfSlice {
    const Block& block;
    uint32_t slice;  // In its block.
    uint32_t row;

    int nibble(uint32_t c) const {  // 16 bytes: low nibbles first.
        const int pair = block.low(slice * 16 + c % 16, row);
        return c < 16 ? pair & 15 : pair >> 4;
    }
    int nibble_of_pair(uint32_t c) const {  // 32 bytes hold two slices.
        return (block.low(slice / 2 * 32 + c, row) >> (4 * (slice % 2))) & 15;
    }
    int fifth_bit(uint32_t c) const {  // Of Q5_0 and Q5_1: one uint32 a row, its bytes in order.
        return ((block.high(c / 8, row) >> (c % 8)) & 1) << 4;
    }
    int two_bits(uint32_t c) const {
        return (block.low(slice / 4 * 32 + c, row) >> (2 * (slice % 4))) & 3;
    }
    int quant(WeightType type, uint32_t c) const;
};

int RowOfSlice::quant(WeightType type, uint32_t c) const {
    switch (type) {
        case WeightType::kQ4_0:
            return nibble(c) - 8;
        case WeightType::kQ4_1:
            return nibble(c);
        case WeightType::kQ5_0:
            return (nibble(c) | fifth_bit(c)) - 16;
        case WeightType::kQ5_1:
            return nibble(c) | fifth_bit(c);
        case WeightType::kQ8_0:
            return static_cast<int8_t>(block.low(c, row));
        case WeightType::kQ2_K:
            return two_bits(c);
        case WeightType::kQ3_K:
            return (two_bits(c) | (((block.high(c, row) >> slice) & 1) << 2)) - 4;
        case WeightType::kQ4_K:
            return nibble_of_pair(c);
        case WeightType::kQ5_K:
            return nibble_of_pair(c) | (((block.high(c, row) >> slice) & 1) << 4);
        case WeightType::kQ6_K: {
            const uint32_t part = slice % 4;
            const int low = block.low(slice / 4 * 64 + part % 2 * 32 + c, row) >> (part / 2 * 4);
            const int high = block.high(slice / 4 * 32 + c, row) >> (2 * part);
            return ((low & 15) | ((high & 3) << 4)) - 32;
        }
        case WeightType::kIQ4_NL:
        case WeightType::kIQ4_XS:
            return kIQ4Values[nibble(c)];
        case WeightType::kF32:
        case WeightType::kF16:
        case WeightType::kBF16:
            break;
    }
    return 0;
}

// Scales and factors of one row.
void unpack_factors(WeightType type, const RowOfSlice& from, PanelSlice& out) {
    const uint32_t row = from.row;
    const Block& block = from.block;
    out.scales[row] = block.scale(row);
    out.offsets[row] = 0;
    for (uint32_t half = 0; half < 2; ++half) {
        out.factors[half][row] = 1;
        out.mins[half][row] = 1;
    }
    if (type == WeightType::kQ4_1 || type == WeightType::kQ5_1) {
        out.offsets[row] = block.offset(row);
    } else if (type == WeightType::kQ4_K || type == WeightType::kQ5_K) {
        const FactorAndMin pair = six_bit_pair(block, from.slice, row);
        out.scales[row] *= static_cast<float>(pair.factor);
        out.offsets[row] = -block.offset(row) * static_cast<float>(pair.min);
    } else if (type == WeightType::kIQ4_XS) {
        const int low = block.factor(2 + from.slice / 2, row) >> (4 * (from.slice % 2));
        const int high = block.half_bits(kIQ4_XSLayout.factors, row) >> (2 * from.slice);
        out.scales[row] *= static_cast<float>(((low & 15) | ((high & 3) << 4)) - 32);
    } else if (type == WeightType::kQ2_K) {
        out.offsets[row] = -block.offset(row);
    }
    for (uint32_t half = 0; half < 2; ++half) {
        const uint32_t i = from.slice * 2 + half;
        if (type == WeightType::kQ2_K) {
            out.factors[half][row] = block.factor(i, row) & 15;
            out.mins[half][row] = block.factor(i, row) >> 4;
        } else if (type == WeightType::kQ3_K) {
            out.factors[half][row] = six_bit_factor(block, i, row);
        } else if (type == WeightType::kQ6_K) {
            out.factors[half][row] = static_cast<int8_t>(block.factor(i, row));
        }
    }
}

const BlockLayout& layout_of(WeightType type) {
    switch (type) {
        case WeightType::kQ4_1:
            return kQ4_1Layout;
        case WeightType::kQ5_0:
            return kQ5_0Layout;
        case WeightType::kQ5_1:
            return kQ5_1Layout;
        case WeightType::kQ8_0:
            return kQ8_0Layout;
        case WeightType::kQ2_K:
            return kQ2_KLayout;
        case WeightType::kQ3_K:
            return kQ3_KLayout;
        case WeightType::kQ4_K:
            return kQ4_KLayout;
        case WeightType::kQ5_K:
            return kQ5_KLayout;
        case WeightType::kQ6_K:
            return kQ6_KLayout;
        case WeightType::kIQ4_XS:
            return kIQ4_XSLayout;
        default:
            return kQ4_0Layout;
    }
}

}  // namespace

void unpack_slice(WeightType type, const std::byte* panel, uint32_t slice, uint32_t row_begin,
                  uint32_t row_end, PanelSlice& out) noexcept {
    const BlockLayout& layout = layout_of(type);
    const uint32_t slices = weight_type_traits(type).block_columns / kBlockColumns;
    const Block block(panel + size_t{slice / slices} * layout.bytes, layout);
    for (uint32_t row = row_begin; row < row_end; ++row) {
        const RowOfSlice from{block, slice % slices, row};
        unpack_factors(type, from, out);
        for (uint32_t c = 0; c < kBlockColumns; ++c) {
            out.quants[row][c] = static_cast<int16_t>(from.quant(type, c));
        }
    }
}

bool has_offsets(WeightType type) noexcept {
    return type == WeightType::kQ4_1 || type == WeightType::kQ5_1 || type == WeightType::kQ2_K ||
           type == WeightType::kQ4_K || type == WeightType::kQ5_K;
}

}  // namespace rekindle::kernels::detail
