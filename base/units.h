// Byte sizes and durations as people write them. Binary units: KiB, MiB, GiB, TiB.
#pragma once
#include "base/result.h"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace rekindle {

inline constexpr uint64_t kKiB = 1024;
inline constexpr uint64_t kMiB = 1024 * kKiB;
inline constexpr uint64_t kGiB = 1024 * kMiB;
inline constexpr uint64_t kPageBytes = 4096;  // Base page of x86-64; O_DIRECT's alignment too.

// Smallest multiple of `alignment` (a power of two) that is >= value; no overflow check.
constexpr uint64_t align_up(uint64_t value, uint64_t alignment) noexcept {
    return (value + alignment - 1) & ~(alignment - 1);
}

// "512", "64MiB", "2GiB", "8K", "8KB" (K, M, G, T are binary). kInvalidArgument names the text.
Result<uint64_t> parse_bytes(std::string_view text);
// "93.8 MiB"
std::string format_bytes(uint64_t bytes);
// "250ms", "30s", "5m", "24h", "7d"; a bare number means seconds.
Result<std::chrono::milliseconds> parse_duration(std::string_view text);
// "3.2 s", "5 m 12 s", "2 h 3 m"
std::string format_duration(std::chrono::milliseconds duration);

}  // namespace rekindle
