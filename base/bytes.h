// Bounded reading and writing of little-endian binary forms (worker frames, ledger records,
// tables). A ByteReader never reads past its span: the first short read makes it fail, every later
// read gives zeros, and the caller asks once at the end. Strings and blobs have a u32 length before
// them.
#pragma once
#include "base/result.h"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace rekindle {

static_assert(std::endian::native == std::endian::little, "x86-64 and AArch64 only");

template <typename T>
concept FixedWidth = std::is_arithmetic_v<T> || std::is_enum_v<T>;

class ByteReader {
public:
    explicit ByteReader(std::span<const std::byte> bytes) noexcept : rest_(bytes) {}

    template <FixedWidth T>
    T read() noexcept {
        T value{};
        if (rest_.size() < sizeof(T)) {
            fail();
            return value;
        }
        std::memcpy(&value, rest_.data(), sizeof(T));
        rest_ = rest_.subspan(sizeof(T));
        return value;
    }

    // The next `count` bytes, or an empty span after failing.
    std::span<const std::byte> read_span(uint64_t count) noexcept {
        if (count > rest_.size()) {
            fail();
            return {};
        }
        const auto span = rest_.first(static_cast<size_t>(count));
        rest_ = rest_.subspan(static_cast<size_t>(count));
        return span;
    }

    // u32 length, then that many bytes.
    std::string read_string() {
        const auto span = read_span(read<uint32_t>());
        return {reinterpret_cast<const char*>(span.data()), span.size()};
    }

    bool failed() const noexcept { return failed_; }
    size_t remaining() const noexcept { return rest_.size(); }
    // OK when nothing failed and everything was read; else kCorrupt "<what>: …".
    Result<void> finish(std::string_view what) const;

private:
    void fail() noexcept {
        failed_ = true;
        rest_ = {};
    }

    std::span<const std::byte> rest_;
    bool failed_ = false;
};

class ByteWriter {
public:
    template <FixedWidth T>
    void write(T value) {
        const size_t at = bytes_.size();
        bytes_.resize(at + sizeof(T));
        std::memcpy(bytes_.data() + at, &value, sizeof(T));
    }

    void write_span(std::span<const std::byte> span) {
        bytes_.insert(bytes_.end(), span.begin(), span.end());
    }

    // u32 length, then the bytes; longer than 4 GiB is a bug.
    void write_string(std::string_view text);

    const std::vector<std::byte>& bytes() const noexcept { return bytes_; }
    std::vector<std::byte> take() { return std::move(bytes_); }

private:
    std::vector<std::byte> bytes_;
};

}  // namespace rekindle
