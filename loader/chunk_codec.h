// The stored forms of a chunk: as it is, or one zstd frame. Both directions are bounded by the
// plain size, which the index declares; a frame that would give more or less is corrupt. Threading:
// free functions on any thread.
#pragma once
#include "base/result.h"
#include "loader/image_index.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace rekindle::loader {

// Empty when compressing does not save at least an eighth.
std::vector<std::byte> compress_chunk(std::span<const std::byte> plain);
// One zstd frame, whatever it saves: what goes over a wire.
std::vector<std::byte> frame_chunk(std::span<const std::byte> plain);
// Of a frame of a chunk that can't be compressed.
inline constexpr uint64_t kChunkFrameBytesMax = kChunkBytesMax + kChunkBytesMax / 256 + 64;
// Fills `plain` exactly.
Result<void> decompress_chunk(std::span<const std::byte> stored, std::span<std::byte> plain);

}  // namespace rekindle::loader
