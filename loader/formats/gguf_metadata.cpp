#include "base/hash.h"
#include "loader/formats/gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

namespace rekindle::formats {

namespace {

Error wrong_type(const GgufEntry& entry, std::string_view wanted) {
    const std::string is =
        entry.type == GgufType::kArray
            ? fmt::format("an array of {} {}", entry.count, gguf_type_name(entry.element))
            : std::string(gguf_type_name(entry.type));
    return {ErrorCode::kCorrupt, fmt::format("GGUF metadata {} (offset {}) must be {}, is {}",
                                             entry.key, entry.offset, wanted, is)};
}

template <typename T>
T load(std::span<const std::byte> bytes) noexcept {
    T value{};
    std::memcpy(&value, bytes.data(), sizeof(T));
    return value;
}

// Nothing for a negative value and for types that are no integers.
std::optional<uint64_t> load_unsigned(const GgufEntry& entry) noexcept {
    const auto from_signed = [](int64_t value) -> std::optional<uint64_t> {
        return value < 0 ? std::nullopt : std::optional(static_cast<uint64_t>(value));
    };
    switch (entry.type) {
        case GgufType::kUint8:
            return load<uint8_t>(entry.bytes);
        case GgufType::kInt8:
            return from_signed(load<int8_t>(entry.bytes));
        case GgufType::kUint16:
            return load<uint16_t>(entry.bytes);
        case GgufType::kInt16:
            return from_signed(load<int16_t>(entry.bytes));
        case GgufType::kUint32:
            return load<uint32_t>(entry.bytes);
        case GgufType::kInt32:
            return from_signed(load<int32_t>(entry.bytes));
        case GgufType::kUint64:
            return load<uint64_t>(entry.bytes);
        case GgufType::kInt64:
            return from_signed(load<int64_t>(entry.bytes));
        case GgufType::kFloat32:
        case GgufType::kFloat64:
        case GgufType::kBool:
        case GgufType::kString:
        case GgufType::kArray:
            break;
    }
    return std::nullopt;
}

}  // namespace

std::string_view gguf_type_name(GgufType type) noexcept {
    constexpr std::string_view kNames[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                           "bool", "string", "array", "u64", "i64", "f64"};
    const auto number = static_cast<uint32_t>(type);
    return number < std::size(kNames) ? kNames[number] : "unknown";
}

std::string_view GgufStrings::Iterator::operator*() const noexcept {
    const uint64_t length = load<uint64_t>({at_, sizeof(uint64_t)});
    return {reinterpret_cast<const char*>(at_ + sizeof(uint64_t)), static_cast<size_t>(length)};
}

GgufStrings::Iterator& GgufStrings::Iterator::operator++() noexcept {
    at_ += sizeof(uint64_t) + load<uint64_t>({at_, sizeof(uint64_t)});
    return *this;
}

const GgufEntry* GgufFile::find(std::string_view key) const noexcept {
    const auto found = std::lower_bound(
        entries_.begin(), entries_.end(), key,
        [](const GgufEntry& entry, std::string_view wanted) { return entry.key < wanted; });
    return found != entries_.end() && found->key == key ? &*found : nullptr;
}

const GgufTensor* GgufFile::find_tensor(std::string_view name) const noexcept {
    const auto found = std::lower_bound(
        tensors_.begin(), tensors_.end(), name,
        [](const GgufTensor& tensor, std::string_view wanted) { return tensor.name < wanted; });
    return found != tensors_.end() && found->name == name ? &*found : nullptr;
}

std::span<const std::byte> GgufFile::tensor_bytes(const GgufTensor& tensor) const noexcept {
    return file_.subspan(static_cast<size_t>(tensor.offset), static_cast<size_t>(tensor.bytes));
}

Result<std::optional<uint64_t>> GgufFile::find_unsigned(std::string_view key) const {
    const GgufEntry* const entry = find(key);
    if (entry == nullptr) {
        return std::optional<uint64_t>();
    }
    const std::optional<uint64_t> value = load_unsigned(*entry);
    if (!value) {
        return wrong_type(*entry, "an integer >= 0");
    }
    return value;
}

Result<std::optional<double>> GgufFile::find_float(std::string_view key) const {
    const GgufEntry* const entry = find(key);
    if (entry == nullptr) {
        return std::optional<double>();
    }
    double value = 0;
    if (entry->type == GgufType::kFloat32) {
        value = static_cast<double>(load<float>(entry->bytes));
    } else if (entry->type == GgufType::kFloat64) {
        value = load<double>(entry->bytes);
    } else {
        return wrong_type(*entry, "f32 or f64");
    }
    if (!std::isfinite(value)) {
        return Error{ErrorCode::kCorrupt,
                     fmt::format("GGUF metadata {} (offset {}) is not finite", key, entry->offset)};
    }
    return std::optional(value);
}

Result<std::optional<bool>> GgufFile::find_bool(std::string_view key) const {
    const GgufEntry* const entry = find(key);
    if (entry == nullptr) {
        return std::optional<bool>();
    }
    if (entry->type != GgufType::kBool) {
        return wrong_type(*entry, "bool");
    }
    return std::optional(entry->bytes[0] != std::byte{0});
}

Result<std::optional<std::string_view>> GgufFile::find_string(std::string_view key) const {
    const GgufEntry* const entry = find(key);
    if (entry == nullptr) {
        return std::optional<std::string_view>();
    }
    if (entry->type != GgufType::kString) {
        return wrong_type(*entry, "string");
    }
    return std::optional(as_text(entry->bytes));
}

Result<std::optional<GgufStrings>> GgufFile::find_strings(std::string_view key) const {
    const GgufEntry* const entry = find(key);
    if (entry == nullptr) {
        return std::optional<GgufStrings>();
    }
    if (entry->type != GgufType::kArray || entry->element != GgufType::kString) {
        return wrong_type(*entry, "an array of strings");
    }
    return std::optional(GgufStrings(entry->bytes, entry->count));
}

Result<std::optional<std::vector<int32_t>>> GgufFile::find_int32s(std::string_view key) const {
    const GgufEntry* const entry = find(key);
    if (entry == nullptr) {
        return std::optional<std::vector<int32_t>>();
    }
    if (entry->type != GgufType::kArray || entry->element != GgufType::kInt32) {
        return wrong_type(*entry, "an array of i32");
    }
    std::vector<int32_t> values(static_cast<size_t>(entry->count));
    if (!values.empty()) {
        std::memcpy(values.data(), entry->bytes.data(), entry->bytes.size());
    }
    return std::optional(std::move(values));
}

}  // namespace rekindle::formats
