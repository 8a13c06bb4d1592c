// The element types that a GGUF file may name, supported or not: an import refuses by name, and
// needs sizes to check that tensors do not overlap. Pure data; any thread.
#pragma once
#include <cstdint>
#include <string_view>

namespace rekindle::formats {

struct GgmlType {
    uint32_t number;
    std::string_view name;   // "Q5_K"
    uint32_t block_columns;  // Values per block.
    uint32_t block_bytes;
};

// nullptr for a number that no version of the format has defined (or that was withdrawn).
const GgmlType* find_ggml_type(uint32_t number) noexcept;

}  // namespace rekindle::formats
