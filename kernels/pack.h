// Moves weights between GGUF's row-major blocks and the r16 panels; unpack is the exact inverse.
// Neither allocates; both may run on disjoint row ranges in parallel.
#pragma once
#include "kernels/weight_types.h"

#include <cstddef>
#include <cstdint>

namespace rekindle::kernels {

// plain: plain_bytes(type, rows, columns) bytes; packed: packed_bytes(type, rows, columns) bytes.
void pack_weights(WeightType type, uint64_t rows, uint64_t columns, const std::byte* plain,
                  std::byte* packed) noexcept;
void unpack_weights(WeightType type, uint64_t rows, uint64_t columns, const std::byte* packed,
                    std::byte* plain) noexcept;

}  // namespace rekindle::kernels
