// SHA-256 names content; XXH3 notices bit rot. Only SHA-256 may identify bytes that others made.
#pragma once
#include "base/result.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace rekindle {

using Sha256Digest = std::array<std::byte, 32>;

class Sha256 {
public:
    Sha256();
    Sha256(Sha256&&) noexcept;
    Sha256& operator=(Sha256&&) noexcept;
    ~Sha256();

    void update(std::span<const std::byte> bytes);
    // Ends the hash; the object must not be used again.
    Sha256Digest finish();

private:
    struct State;
    std::unique_ptr<State> state_;
};

Sha256Digest sha256(std::span<const std::byte> bytes);
Sha256Digest hmac_sha256(std::span<const std::byte> key, std::span<const std::byte> message);
// 64-bit XXH3 with seed 0.
uint64_t xxh3(std::span<const std::byte> bytes) noexcept;

// Lower-case hexadecimal.
std::string to_hex(std::span<const std::byte> bytes);
// Exactly 64 hexadecimal digits, either case; kInvalidArgument otherwise.
Result<Sha256Digest> parse_sha256(std::string_view hex);
// Time depends on the length only.
bool equal_constant_time(std::span<const std::byte> a, std::span<const std::byte> b) noexcept;

inline std::span<const std::byte> as_bytes(std::string_view text) noexcept {
    return std::as_bytes(std::span(text.data(), text.size()));
}

inline std::string_view as_text(std::span<const std::byte> bytes) noexcept {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace rekindle
