// Heads of a tar archive (POSIX ustar), as far as backups need them: plain files and nothing else.
// Pure.
#pragma once
#include "base/result.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace rekindle::daemon {

inline constexpr size_t kTarBlockBytes = 512;
inline constexpr uint64_t kTarFileBytesMax = (1ULL << 33) - 1;  // Eleven octal digits.

struct TarFile {
    std::string name;  // Up to 100 bytes, or up to 155 before a '/' and up to 100 after it.
    uint64_t bytes = 0;
    int64_t modified_unix_s = 0;
};

// kTooLarge for a name or size that has no place in a head.
Result<std::string> tar_head(const TarFile& file);
// Nothing for the block of zeros at an archive's end; kCorrupt for what tar_head() does not write.
Result<std::optional<TarFile>> parse_tar_head(std::span<const std::byte, kTarBlockBytes> block);

// Zeros that follow so many bytes of content.
constexpr size_t tar_padding(uint64_t bytes) noexcept {
    return (kTarBlockBytes - bytes % kTarBlockBytes) % kTarBlockBytes;
}

}  // namespace rekindle::daemon
