// Element types of weights, and the packed layout "r16" in which kernels read them.
// r16: rows are taken in panels of 16 (the last one padded with zero rows), and inside a panel the
// bytes of the 16 rows are interleaved so that one 64-byte load holds 4 consecutive bytes of 16
// rows (quantised types) or one k of 16 rows (F32, F16; BF16: a pair of k). Same values, only
// moved; docs/formats/packed-weights.md is normative.
#pragma once
#include <cstdint>
#include <string_view>

namespace rekindle::kernels {

// Numbers are those of ggml's tensor types in GGUF files.
enum class WeightType : uint32_t {
    kF32 = 0,
    kF16 = 1,
    kQ4_0 = 2,
    kQ4_1 = 3,
    kQ5_0 = 6,
    kQ5_1 = 7,
    kQ8_0 = 8,
    kQ2_K = 10,
    kQ3_K = 11,
    kQ4_K = 12,
    kQ5_K = 13,
    kQ6_K = 14,
    kIQ4_NL = 20,
    kIQ4_XS = 23,
    kBF16 = 30,
};

inline constexpr WeightType kWeightTypes[] = {
    WeightType::kF32,  WeightType::kF16,    WeightType::kBF16,  WeightType::kQ4_0,
    WeightType::kQ4_1, WeightType::kQ5_0,   WeightType::kQ5_1,  WeightType::kQ8_0,
    WeightType::kQ2_K, WeightType::kQ3_K,   WeightType::kQ4_K,  WeightType::kQ5_K,
    WeightType::kQ6_K, WeightType::kIQ4_NL, WeightType::kIQ4_XS};

inline constexpr uint32_t kPanelRows = 16;
inline constexpr uint32_t kBlockColumns = 32;        // Activations that share a scale.
inline constexpr uint32_t kSuperBlockColumns = 256;  // Of the K types and IQ4_XS.
inline constexpr std::string_view kLayoutName = "r16-v1";

// Values per block (1 for the float types) and bytes per block, in GGUF's own form.
struct WeightTypeTraits {
    std::string_view name;
    uint32_t block_columns;
    uint32_t block_bytes;
};

// nullptr for a number that is none of WeightType.
const WeightTypeTraits* find_weight_type(uint32_t ggml_type) noexcept;
const WeightTypeTraits& weight_type_traits(WeightType type) noexcept;

// Bytes of a rows x columns matrix in GGUF form and in r16 form (rows rounded up to 16).
// columns must be a multiple of the type's block_columns (and of 2 for BF16 in r16).
uint64_t plain_bytes(WeightType type, uint64_t rows, uint64_t columns) noexcept;
uint64_t packed_bytes(WeightType type, uint64_t rows, uint64_t columns) noexcept;

}  // namespace rekindle::kernels
