// Reads the structure of a GGUF file (versions 2 and 3, little-endian) that nobody vouches for:
// every count, length, offset, type and dimension is checked against the bytes that are really
// there, so that whoever holds a GgufFile can follow every view and range in it without another
// check. Memory: proportional to the number of entries, each of which takes room in the file;
// strings and arrays are views. Errors name the field and its offset. Threading: pure; a GgufFile
// is immutable. Lifetime: the file's bytes outlive it.
#pragma once
#include "base/result.h"
#include "loader/formats/ggml_types.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace rekindle::formats {

inline constexpr uint64_t kGgufEntriesMax = 65'536;    // Metadata keys; real files have < 100.
inline constexpr uint64_t kGgufTensorsMax = 65'536;    // docs/formats/image.md
inline constexpr uint64_t kGgufKeyBytesMax = 65'535;   // GGUF's own limit.
inline constexpr uint64_t kGgufNameBytesMax = 64;      // GGUF's own limit.
inline constexpr uint32_t kGgufDimensionsMax = 4;      // GGUF's own limit.
inline constexpr uint32_t kGgufAlignmentDefault = 32;  // Without general.alignment.
inline constexpr uint64_t kGgufAlignmentMax = 1U
                                              << 20;  // Real files use 32; a larger one is padding.

// Numbers are the file's.
enum class GgufType : uint32_t {
    kUint8 = 0,
    kInt8 = 1,
    kUint16 = 2,
    kInt16 = 3,
    kUint32 = 4,
    kInt32 = 5,
    kFloat32 = 6,
    kBool = 7,
    kString = 8,
    kArray = 9,
    kUint64 = 10,
    kInt64 = 11,
    kFloat64 = 12,
};

// "u32", "string", …
std::string_view gguf_type_name(GgufType type) noexcept;

// The strings of one array, walked in the file: no copy, no table. Forward only.
class GgufStrings {
public:
    class Iterator {
    public:
        using iterator_category = std::input_iterator_tag;
        using value_type = std::string_view;
        using difference_type = std::ptrdiff_t;
        using pointer = const std::string_view*;
        using reference = std::string_view;

        Iterator() = default;

        explicit Iterator(const std::byte* at) noexcept : at_(at) {}

        std::string_view operator*() const noexcept;
        Iterator& operator++() noexcept;
        bool operator==(const Iterator&) const = default;

    private:
        const std::byte* at_ = nullptr;  // At the length of a string that the parser has checked.
    };

    GgufStrings() = default;

    // `bytes` holds exactly `count` strings, each a u64 length and that many bytes.
    GgufStrings(std::span<const std::byte> bytes, uint64_t count) noexcept
        : bytes_(bytes), count_(count) {}

    Iterator begin() const noexcept { return Iterator(bytes_.data()); }

    Iterator end() const noexcept { return Iterator(bytes_.data() + bytes_.size()); }

    uint64_t size() const noexcept { return count_; }

private:
    std::span<const std::byte> bytes_;
    uint64_t count_ = 0;
};

struct GgufEntry {
    std::string_view key;
    GgufType type = GgufType::kUint8;
    GgufType element = GgufType::kUint8;  // Of an array.
    uint64_t count = 0;                   // Elements of an array.
    uint64_t offset = 0;                  // Of the value, from the file's start.
    // A scalar's bytes, a string's text, or an array's elements.
    std::span<const std::byte> bytes;
};

struct GgufTensor {
    std::string_view name;
    std::array<uint64_t, kGgufDimensionsMax> dims{1, 1, 1, 1};  // dims[0] varies fastest.
    uint32_t dimensions = 0;
    const GgmlType* type = nullptr;  // Never null.
    uint64_t offset = 0;             // Bytes from the file's start.
    uint64_t bytes = 0;
};

class GgufFile {
public:
    uint32_t version() const noexcept { return version_; }

    uint64_t alignment() const noexcept { return alignment_; }

    const std::vector<GgufEntry>& entries() const noexcept { return entries_; }  // Sorted by key.

    const std::vector<GgufTensor>& tensors() const noexcept { return tensors_; }  // Sorted by name.

    const GgufTensor* find_tensor(std::string_view name) const noexcept;
    std::span<const std::byte> tensor_bytes(const GgufTensor& tensor) const noexcept;
    const GgufEntry* find(std::string_view key) const noexcept;

    // Typed access. Absent: std::nullopt. Wrong type or range: kCorrupt naming key and offset.
    Result<std::optional<uint64_t>> find_unsigned(std::string_view key) const;  // Any integer type.
    Result<std::optional<double>> find_float(std::string_view key) const;  // f32 or f64, finite.
    Result<std::optional<bool>> find_bool(std::string_view key) const;
    Result<std::optional<std::string_view>> find_string(std::string_view key) const;
    Result<std::optional<GgufStrings>> find_strings(std::string_view key) const;
    Result<std::optional<std::vector<int32_t>>> find_int32s(std::string_view key) const;

private:
    friend Result<GgufFile> parse_gguf(std::span<const std::byte> file);

    std::span<const std::byte> file_;
    uint32_t version_ = 0;
    uint64_t alignment_ = kGgufAlignmentDefault;
    std::vector<GgufEntry> entries_;
    std::vector<GgufTensor> tensors_;
};

// kTruncated: the file ends inside of something; kCorrupt: it contradicts itself or the format;
// kUnsupported: big-endian, version 1, a later version, an unknown type; kTooLarge: a stated limit.
Result<GgufFile> parse_gguf(std::span<const std::byte> file);

// True when the bytes begin as a GGUF file does.
bool looks_like_gguf(std::span<const std::byte> file) noexcept;

}  // namespace rekindle::formats
