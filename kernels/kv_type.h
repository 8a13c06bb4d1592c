// How pages of the KV cache keep their numbers. A page holds kPageTokens positions of each layer
// and KV head: keys as [head_dim][kPageTokens], so that a vector holds one dimension of many
// positions, and values as [kPageTokens][head_dim]. kQ8_0 rounds a position's keys, and its values,
// of one head to 8 bits with a common scale; the scales [kPageTokens], as floats, follow the
// numbers. Pure functions.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace rekindle::kernels {

inline constexpr uint32_t kPageTokens = 32;  // Positions in one KV page.

// The numbers stand in worker frames.
enum class KvType : uint8_t { kF16 = 0, kBF16 = 1, kQ8_0 = 2 };

inline constexpr KvType kKvTypes[] = {KvType::kF16, KvType::kBF16, KvType::kQ8_0};

// "f16", "bf16", "q8_0": as manifests spell it.
std::string_view kv_type_name(KvType type) noexcept;
// nullptr for a name of none.
const KvType* find_kv_type(std::string_view name) noexcept;

// Bytes of one position's keys, or values, of one head; with its scale.
uint64_t kv_row_bytes(KvType type, uint32_t head_dim) noexcept;
// Bytes of one head's keys, or values, in a page: a multiple of 64 when head_dim is one of 16.
uint64_t kv_head_bytes(KvType type, uint32_t head_dim) noexcept;

}  // namespace rekindle::kernels
