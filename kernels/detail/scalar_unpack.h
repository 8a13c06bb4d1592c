// A slice of packed weights, 16 rows x 32 columns, as plain numbers: what the scalar table computes
// with, and the definition that every other table's unpacking agrees with.
#pragma once
#include "kernels/weight_types.h"

#include <cstddef>
#include <cstdint>

namespace rekindle::kernels::detail {

// The weight of row r and column c is
//     scales[r] * factors[c / 16][r] * quants[r][c] + offsets[r] * mins[c / 16][r].
struct PanelSlice {
    float scales[kPanelRows];
    float offsets[kPanelRows];       // 0 without offsets.
    int32_t factors[2][kPanelRows];  // 1 for types with one factor a slice.
    int32_t mins[2][kPanelRows];     // 1 for types with one offset a slice.
    int16_t quants[kPanelRows][kBlockColumns];
};

// Columns [32 * slice, 32 * slice + 32) of a panel of a quantised type, rows [row_begin, row_end).
void unpack_slice(WeightType type, const std::byte* panel, uint32_t slice, uint32_t row_begin,
                  uint32_t row_end, PanelSlice& out) noexcept;

// The offset is a part of the weights' definition.
bool has_offsets(WeightType type) noexcept;

}  // namespace rekindle::kernels::detail
