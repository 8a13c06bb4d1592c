#include "kernels/kv_type.h"

namespace rekindle::kernels {
namespace {

struct Traits {
    KvType type;
    std::string_view name;
    uint32_t value_bytes;
    uint32_t scale_bytes;  // Of a row.
};

constexpr Traits kTraits[] = {
    {KvType::kF16, "f16", 2, 0},
    {KvType::kBF16, "bf16", 2, 0},
    {KvType::kQ8_0, "q8_0", 1, sizeof(float)},
};

constexpr const Traits& traits_of(KvType type) noexcept {
    return kTraits[static_cast<size_t>(type)];
}

static_assert(traits_of(KvType::kF16).type == KvType::kF16);
static_assert(traits_of(KvType::kBF16).type == KvType::kBF16);
static_assert(traits_of(KvType::kQ8_0).type == KvType::kQ8_0);

}  // namespace

std::string_view kv_type_name(KvType type) noexcept {
    return traits_of(type).name;
}

const KvType* find_kv_type(std::string_view name) noexcept {
    for (const Traits& traits : kTraits) {
        if (traits.name == name) {
            return &traits.type;
        }
    }
    return nullptr;
}

uint64_t kv_row_bytes(KvType type, uint32_t head_dim) noexcept {
    const Traits& traits = traits_of(type);
    return uint64_t{head_dim} * traits.value_bytes + traits.scale_bytes;
}

uint64_t kv_head_bytes(KvType type, uint32_t head_dim) noexcept {
    return kPageTokens * kv_row_bytes(type, head_dim);
}

}  // namespace rekindle::kernels
