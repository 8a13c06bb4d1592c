#include "kernels/pack.h"

#include "base/check.h"
#include "kernels/detail/r16.h"

#include <cstring>

// Packing and unpacking walk the same pieces: `walk_panel` names, for each piece of a panel, its
// place in the plain row and in the packed panel, and the direction only decides which way memcpy
// goes. So unpack is the inverse of pack by construction.

namespace rekindle::kernels {
namespace {

using detail::kGroupBytes;
using detail::kHalfRowBytes;
using detail::kLaneColumns;

// A block of a quantised type: `halves` F16 fields, then `groups` groups of 4 quant bytes a row.
struct BlockShape {
    uint32_t halves;
    uint32_t groups;

    constexpr uint32_t plain_bytes() const { return halves * 2 + groups * kLaneColumns; }

    constexpr uint32_t packed_bytes() const {
        return halves * kHalfRowBytes + groups * kGroupBytes;
    }
};

constexpr BlockShape kQ4_0Shape{1, detail::kNibbleGroups};
constexpr BlockShape kQ4_1Shape{2, detail::kNibbleGroups};
constexpr BlockShape kQ8_0Shape{1, detail::kByteGroups};
static_assert(kQ4_0Shape.packed_bytes() == detail::kQ4_0BlockBytes);
static_assert(kQ4_1Shape.packed_bytes() == detail::kQ4_1BlockBytes);
static_assert(kQ8_0Shape.packed_bytes() == detail::kQ8_0BlockBytes);

// move(plain_offset, packed_offset, kBytes) for each piece of row `row` of a panel.
template <uint32_t kHalves, uint32_t kGroups, typename Move>
void walk_blocks(uint64_t columns, uint32_t row, const Move& move) {
    constexpr BlockShape shape{kHalves, kGroups};
    for (uint64_t block = 0; block < columns / kBlockColumns; ++block) {
        const uint64_t plain = block * shape.plain_bytes();
        const uint64_t packed = block * shape.packed_bytes();
        for (uint32_t half = 0; half < kHalves; ++half) {
            move.template operator()<2>(plain + half * 2, packed + half * kHalfRowBytes + row * 2);
        }
        for (uint32_t group = 0; group < kGroups; ++group) {
            move.template operator()<kLaneColumns>(
                plain + kHalves * 2 + group * kLaneColumns,
                packed + kHalves * kHalfRowBytes + group * kGroupBytes + row * kLaneColumns);
        }
    }
}

// Float types: kColumns consecutive k of a row stay together.
template <uint32_t kValueBytes, uint32_t kColumns, typename Move>
void walk_values(uint64_t columns, uint32_t row, const Move& move) {
    constexpr uint32_t kPiece = kValueBytes * kColumns;
    for (uint64_t piece = 0; piece < columns / kColumns; ++piece) {
        move.template operator()<kPiece>(piece * kPiece, (piece * kPanelRows + row) * kPiece);
    }
}

template <typename Move>
void walk_row(WeightType type, uint64_t columns, uint32_t row, const Move& move) {
    switch (type) {
        case WeightType::kF32:
            return walk_values<4, 1>(columns, row, move);
        case WeightType::kF16:
            return walk_values<2, 1>(columns, row, move);
        case WeightType::kBF16:
            return walk_values<2, 2>(columns, row, move);
        case WeightType::kQ4_0:
            return walk_blocks<kQ4_0Shape.halves, kQ4_0Shape.groups>(columns, row, move);
        case WeightType::kQ4_1:
            return walk_blocks<kQ4_1Shape.halves, kQ4_1Shape.groups>(columns, row, move);
        case WeightType::kQ8_0:
            return walk_blocks<kQ8_0Shape.halves, kQ8_0Shape.groups>(columns, row, move);
    }
}

void check_columns(WeightType type, uint64_t columns) {
    const uint64_t unit =
        type == WeightType::kBF16 ? 2 : uint64_t{weight_type_traits(type).block_columns};
    REKINDLE_CHECK(columns % unit == 0, "columns are whole blocks (pairs for BF16)");
}

}  // namespace

void pack_weights(WeightType type, uint64_t rows, uint64_t columns, const std::byte* plain,
                  std::byte* packed) noexcept {
    check_columns(type, columns);
    const uint64_t row_bytes = plain_bytes(type, 1, columns);
    const uint64_t panel_bytes = packed_bytes(type, 1, columns);
    for (uint64_t first = 0; first < rows; first += kPanelRows) {
        std::byte* panel = packed + first / kPanelRows * panel_bytes;
        if (rows - first < kPanelRows && panel_bytes > 0) {
            std::memset(panel, 0, panel_bytes);
        }
        for (uint32_t row = 0; row < kPanelRows && first + row < rows; ++row) {
            const std::byte* source = plain + (first + row) * row_bytes;
            walk_row(type, columns, row, [&]<uint32_t kBytes>(uint64_t from, uint64_t to) {
                std::memcpy(panel + to, source + from, kBytes);
            });
        }
    }
}

void unpack_weights(WeightType type, uint64_t rows, uint64_t columns, const std::byte* packed,
                    std::byte* plain) noexcept {
    check_columns(type, columns);
    const uint64_t row_bytes = plain_bytes(type, 1, columns);
    const uint64_t panel_bytes = packed_bytes(type, 1, columns);
    for (uint64_t index = 0; index < rows; ++index) {
        const std::byte* panel = packed + index / kPanelRows * panel_bytes;
        std::byte* target = plain + index * row_bytes;
        const auto row = static_cast<uint32_t>(index % kPanelRows);
        walk_row(type, columns, row, [&]<uint32_t kBytes>(uint64_t to, uint64_t from) {
            std::memcpy(target + to, panel + from, kBytes);
        });
    }
}

}  // namespace rekindle::kernels
