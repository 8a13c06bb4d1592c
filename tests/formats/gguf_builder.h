// Makes GGUF files in memory, valid ones and, on demand, ones that lie. Every field that a file has
// can be overridden, so that a test states one fault and nothing else.
#pragma once
#include "loader/formats/gguf.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rekindle::test {

class GgufBuilder {
public:
    uint32_t version = 3;
    uint64_t alignment = 32;                       // general.alignment is not written by itself.
    std::optional<uint64_t> tensor_count_written;  // Instead of the true count.
    std::optional<uint64_t> entry_count_written;

    GgufBuilder& add_u32(std::string_view key, uint32_t value);
    GgufBuilder& add_f32(std::string_view key, float value);
    GgufBuilder& add_bool(std::string_view key, bool value);
    GgufBuilder& add_string(std::string_view key, std::string_view value);
    GgufBuilder& add_strings(std::string_view key, const std::vector<std::string>& values);
    GgufBuilder& add_i32s(std::string_view key, const std::vector<int32_t>& values);
    // Any type number and bytes, true or not.
    GgufBuilder& add_raw(std::string_view key, uint32_t type, std::span<const std::byte> value);
    GgufBuilder& remove(std::string_view key);

    struct Tensor {
        std::string name;
        std::vector<uint64_t> dims;
        uint32_t type = 0;
        std::vector<std::byte> data;
        std::optional<uint64_t> offset_written;  // Instead of the true place in the data section.
        std::optional<uint32_t> dimensions_written;
    };

    Tensor& add_tensor(std::string name, std::vector<uint64_t> dims, uint32_t type,
                       std::vector<std::byte> data);
    Tensor& tensor(std::string_view name);
    GgufBuilder& remove_tensor(std::string_view name);

    std::vector<std::byte> build() const;

private:
    struct Entry {
        std::string key;
        uint32_t type = 0;
        std::vector<std::byte> value;
    };

    std::vector<Entry> entries_;
    std::vector<Tensor> tensors_;
};

// `bytes` repeatable values that are not all alike.
std::vector<std::byte> pattern_bytes(size_t bytes, uint32_t seed);

}  // namespace rekindle::test
