// Geometry of the r16 layout, for the packers and the kernels: where in a packed block of 16 rows
// by 32 columns the scales, offsets and quants lie. docs/formats/packed-weights.md is normative.
#pragma once
#include "kernels/weight_types.h"

#include <cstddef>
#include <cstdint>

namespace rekindle::kernels::detail {

inline constexpr uint32_t kLaneColumns = 4;  // Consecutive k of one row in a 64-byte group.
inline constexpr uint32_t kGroupBytes = kPanelRows * kLaneColumns;
inline constexpr uint32_t kHalfRowBytes = kPanelRows * 2;  // One F16 for each of the 16 rows.

// F16 fields in front of a block's quants: the scale, and for Q4_1 the offset.
inline constexpr uint32_t kQ4_0Quants = kHalfRowBytes;
inline constexpr uint32_t kQ4_1Offsets = kHalfRowBytes;
inline constexpr uint32_t kQ4_1Quants = 2 * kHalfRowBytes;
inline constexpr uint32_t kQ8_0Quants = kHalfRowBytes;

inline constexpr uint32_t kNibbleGroups = 4;  // 64-byte groups of a block of 4-bit quants.
inline constexpr uint32_t kByteGroups = 8;    // 64-byte groups of a block of 8-bit quants.

inline constexpr uint32_t kQ4_0BlockBytes = kQ4_0Quants + kNibbleGroups * kGroupBytes;
inline constexpr uint32_t kQ4_1BlockBytes = kQ4_1Quants + kNibbleGroups * kGroupBytes;
inline constexpr uint32_t kQ8_0BlockBytes = kQ8_0Quants + kByteGroups * kGroupBytes;
static_assert(kQ4_0BlockBytes == 288 && kQ4_1BlockBytes == 320 && kQ8_0BlockBytes == 544);

// Panels that cover `rows` rows; the last one may be partly padding.
constexpr uint64_t panel_count(uint64_t rows) noexcept {
    return (rows + kPanelRows - 1) / kPanelRows;
}

}  // namespace rekindle::kernels::detail
