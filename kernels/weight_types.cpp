#include "kernels/weight_types.h"

#include "base/check.h"
#include "kernels/detail/r16.h"

namespace rekindle::kernels {
namespace {

struct NamedType {
    WeightType type;
    WeightTypeTraits traits;
};

// Block bytes as ggml defines them: F16 scales (and offsets), packed factors, then the quants.
constexpr NamedType kTypes[] = {
    {WeightType::kF32, {"F32", 1, 4}},
    {WeightType::kF16, {"F16", 1, 2}},
    {WeightType::kBF16, {"BF16", 1, 2}},
    {WeightType::kQ4_0, {"Q4_0", kBlockColumns, 2 + 16}},
    {WeightType::kQ4_1, {"Q4_1", kBlockColumns, 2 + 2 + 16}},
    {WeightType::kQ5_0, {"Q5_0", kBlockColumns, 2 + 4 + 16}},
    {WeightType::kQ5_1, {"Q5_1", kBlockColumns, 2 + 2 + 4 + 16}},
    {WeightType::kQ8_0, {"Q8_0", kBlockColumns, 2 + 32}},
    {WeightType::kQ2_K, {"Q2_K", kSuperBlockColumns, 16 + 64 + 2 + 2}},
    {WeightType::kQ3_K, {"Q3_K", kSuperBlockColumns, 32 + 64 + 12 + 2}},
    {WeightType::kQ4_K, {"Q4_K", kSuperBlockColumns, 2 + 2 + 12 + 128}},
    {WeightType::kQ5_K, {"Q5_K", kSuperBlockColumns, 2 + 2 + 12 + 32 + 128}},
    {WeightType::kQ6_K, {"Q6_K", kSuperBlockColumns, 128 + 64 + 16 + 2}},
    {WeightType::kIQ4_NL, {"IQ4_NL", kBlockColumns, 2 + 16}},
    {WeightType::kIQ4_XS, {"IQ4_XS", kSuperBlockColumns, 2 + 2 + 4 + 128}},
};

}  // namespace

const WeightTypeTraits* find_weight_type(uint32_t ggml_type) noexcept {
    for (const NamedType& named : kTypes) {
        if (static_cast<uint32_t>(named.type) == ggml_type) {
            return &named.traits;
        }
    }
    return nullptr;
}

const WeightTypeTraits& weight_type_traits(WeightType type) noexcept {
    const WeightTypeTraits* traits = find_weight_type(static_cast<uint32_t>(type));
    REKINDLE_CHECK(traits != nullptr, "a WeightType is one of its enumerators");
    return *traits;
}

uint64_t plain_bytes(WeightType type, uint64_t rows, uint64_t columns) noexcept {
    const WeightTypeTraits& traits = weight_type_traits(type);
    return rows * (columns / traits.block_columns) * traits.block_bytes;
}

uint64_t packed_bytes(WeightType type, uint64_t rows, uint64_t columns) noexcept {
    return plain_bytes(type, detail::panel_count(rows) * kPanelRows, columns);
}

}  // namespace rekindle::kernels
