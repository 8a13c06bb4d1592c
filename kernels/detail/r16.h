// Geometry of the r16 layout, for the packers and the kernels: where in a packed block of 16 rows
// the fields of GGUF's block lie. docs/formats/packed-weights.md is normative.
#pragma once
#include "kernels/weight_types.h"

#include <cstddef>
#include <cstdint>

namespace rekindle::kernels::detail {

inline constexpr uint32_t kLaneColumns = 4;  // Consecutive bytes of one row in a 64-byte group.
inline constexpr uint32_t kGroupBytes = kPanelRows * kLaneColumns;
inline constexpr uint32_t kHalfRowBytes = kPanelRows * 2;  // One F16 for each of the 16 rows.
inline constexpr uint32_t kSliceGroups = 8;                // Groups of 4 columns in a slice of 32.

// Offsets in bytes of a packed block's fields; a field that the type lacks is 0.
struct BlockLayout {
    uint32_t scales = 0;   // F16 [16]
    uint32_t offsets = 0;  // F16 [16]: Q4_1's and Q5_1's offset, dmin of the K types
    uint32_t factors = 0;  // Bytes [n][16]: factors of the slices, packed as in GGUF
    uint32_t high = 0;     // Groups of high bits (Q5_0, Q5_1: uint32 [16])
    uint32_t quants = 0;   // Groups of low bits
    uint32_t bytes = 0;
};

// Each offset is the sum of the fields before it.
inline constexpr BlockLayout kQ4_0Layout{.quants = 32, .bytes = 288};
inline constexpr BlockLayout kQ4_1Layout{.offsets = 32, .quants = 64, .bytes = 320};
inline constexpr BlockLayout kQ5_0Layout{.high = 32, .quants = 96, .bytes = 352};
inline constexpr BlockLayout kQ5_1Layout{.offsets = 32, .high = 64, .quants = 128, .bytes = 384};
inline constexpr BlockLayout kQ8_0Layout{.quants = 32, .bytes = 544};
inline constexpr BlockLayout kQ2_KLayout{
    .offsets = 32, .factors = 64, .quants = 320, .bytes = 1344};
inline constexpr BlockLayout kQ3_KLayout{.factors = 32, .high = 224, .quants = 736, .bytes = 1760};
inline constexpr BlockLayout kQ4_KLayout{
    .offsets = 32, .factors = 64, .quants = 256, .bytes = 2304};
inline constexpr BlockLayout kQ5_KLayout{
    .offsets = 32, .factors = 64, .high = 256, .quants = 768, .bytes = 2816};
inline constexpr BlockLayout kQ6_KLayout{.factors = 32, .high = 288, .quants = 1312, .bytes = 3360};
inline constexpr BlockLayout kIQ4_NLLayout = kQ4_0Layout;
// factors: scales_h as F16-sized integers [16], then scales_l bytes [4][16].
inline constexpr BlockLayout kIQ4_XSLayout{.factors = 32, .quants = 128, .bytes = 2176};

// The values that IQ4_NL's and IQ4_XS's nibbles stand for (ggml's kvalues_iq4nl).
inline constexpr int8_t kIQ4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                          1,    13,   25,  38,  53,  69,  89,  113};

// Panels that cover `rows` rows; the last one may be partly padding.
constexpr uint64_t panel_count(uint64_t rows) noexcept {
    return (rows + kPanelRows - 1) / kPanelRows;
}

}  // namespace rekindle::kernels::detail
