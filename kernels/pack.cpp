#include "kernels/pack.h"

#include "base/check.h"
#include "kernels/detail/r16.h"

#include <cstring>

// Packing and unpacking walk the same pieces: `walk_row` names, for each piece of a row, its place
// in the plain row and in the packed panel, and the direction only decides which way memcpy goes.
// So unpack is the inverse of pack by construction.

namespace rekindle::kernels {
namespace {

// Consecutive pieces of `width` bytes in GGUF's block; packed, piece i of the 16 rows lies
// together.
struct Field {
    uint32_t plain;  // Offset in GGUF's block.
    uint32_t width;  // 1, 2 or 4
    uint32_t count;
};

constexpr uint32_t kFieldsMax = 5;

// A block's fields in their packed order.
struct BlockShape {
    Field fields[kFieldsMax];

    constexpr uint32_t bytes() const {
        uint32_t sum = 0;
        for (const Field& field : fields) {
            sum += field.width * field.count;
        }
        return sum;
    }
};

// As in ggml-common.h; each line says where GGUF has the field.
constexpr BlockShape kQ4_0Shape{{{0, 2, 1}, {2, 4, 4}}};
constexpr BlockShape kQ4_1Shape{{{0, 2, 1}, {2, 2, 1}, {4, 4, 4}}};
constexpr BlockShape kQ5_0Shape{{{0, 2, 1}, {2, 4, 1}, {6, 4, 4}}};
constexpr BlockShape kQ5_1Shape{{{0, 2, 1}, {2, 2, 1}, {4, 4, 1}, {8, 4, 4}}};
constexpr BlockShape kQ8_0Shape{{{0, 2, 1}, {2, 4, 8}}};
constexpr BlockShape kQ2_KShape{{{80, 2, 1}, {82, 2, 1}, {0, 1, 16}, {16, 4, 16}}};
constexpr BlockShape kQ3_KShape{{{108, 2, 1}, {96, 1, 12}, {0, 4, 8}, {32, 4, 16}}};
constexpr BlockShape kQ4_KShape{{{0, 2, 1}, {2, 2, 1}, {4, 1, 12}, {16, 4, 32}}};
constexpr BlockShape kQ5_KShape{{{0, 2, 1}, {2, 2, 1}, {4, 1, 12}, {16, 4, 8}, {48, 4, 32}}};
constexpr BlockShape kQ6_KShape{{{208, 2, 1}, {192, 1, 16}, {128, 4, 16}, {0, 4, 32}}};
constexpr BlockShape kIQ4_XSShape{{{0, 2, 1}, {2, 2, 1}, {4, 1, 4}, {8, 4, 32}}};
static_assert(kQ4_0Shape.bytes() * kPanelRows == detail::kQ4_0Layout.bytes);
static_assert(kQ4_1Shape.bytes() * kPanelRows == detail::kQ4_1Layout.bytes);
static_assert(kQ5_0Shape.bytes() * kPanelRows == detail::kQ5_0Layout.bytes);
static_assert(kQ5_1Shape.bytes() * kPanelRows == detail::kQ5_1Layout.bytes);
static_assert(kQ8_0Shape.bytes() * kPanelRows == detail::kQ8_0Layout.bytes);
static_assert(kQ2_KShape.bytes() * kPanelRows == detail::kQ2_KLayout.bytes);
static_assert(kQ3_KShape.bytes() * kPanelRows == detail::kQ3_KLayout.bytes);
static_assert(kQ4_KShape.bytes() * kPanelRows == detail::kQ4_KLayout.bytes);
static_assert(kQ5_KShape.bytes() * kPanelRows == detail::kQ5_KLayout.bytes);
static_assert(kQ6_KShape.bytes() * kPanelRows == detail::kQ6_KLayout.bytes);
static_assert(kIQ4_XSShape.bytes() * kPanelRows == detail::kIQ4_XSLayout.bytes);

// move(plain_offset, packed_offset) for each piece of a field, with the width as a constant.
template <uint32_t kWidth, typename Move>
void walk_field(const Field& field, uint64_t plain, uint64_t packed, uint32_t row,
                const Move& move) {
    for (uint32_t piece = 0; piece < field.count; ++piece) {
        move.template operator()<kWidth>(plain + field.plain + piece * kWidth,
                                         packed + (piece * kPanelRows + row) * kWidth);
    }
}

template <typename Move>
void walk_blocks(const BlockShape& shape, uint64_t blocks, uint32_t row, const Move& move) {
    uint64_t packed = 0;
    for (uint64_t block = 0; block < blocks; ++block) {
        const uint64_t plain = block * shape.bytes();
        for (const Field& field : shape.fields) {
            if (field.width == 4) {
                walk_field<4>(field, plain, packed, row, move);
            } else if (field.width == 2) {
                walk_field<2>(field, plain, packed, row, move);
            } else {
                walk_field<1>(field, plain, packed, row, move);
            }
            packed += uint64_t{field.width} * field.count * kPanelRows;
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

const BlockShape& shape_of(WeightType type) {
    switch (type) {
        case WeightType::kQ4_0:
        case WeightType::kIQ4_NL:
            return kQ4_0Shape;
        case WeightType::kQ4_1:
            return kQ4_1Shape;
        case WeightType::kQ5_0:
            return kQ5_0Shape;
        case WeightType::kQ5_1:
            return kQ5_1Shape;
        case WeightType::kQ8_0:
            return kQ8_0Shape;
        case WeightType::kQ2_K:
            return kQ2_KShape;
        case WeightType::kQ3_K:
            return kQ3_KShape;
        case WeightType::kQ4_K:
            return kQ4_KShape;
        case WeightType::kQ5_K:
            return kQ5_KShape;
        case WeightType::kQ6_K:
            return kQ6_KShape;
        case WeightType::kIQ4_XS:
            return kIQ4_XSShape;
        case WeightType::kF32:
        case WeightType::kF16:
        case WeightType::kBF16:
            break;
    }
    check_failed(__FILE__, __LINE__, "shape_of", "float types have no blocks");
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
        default:
            return walk_blocks(shape_of(type), columns / weight_type_traits(type).block_columns,
                               row, move);
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
