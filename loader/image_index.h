// The daemon's reading of an image index (docs/formats/image.md): how many bytes and which chunks.
// Everything else in the index is the worker's business and is carried as text.
#pragma once
#include "base/result.h"
#include "loader/chunk_id.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rekindle::loader {

enum class ChunkCodec : uint8_t { kPlain, kZstd };

struct ImageChunk {
    ChunkId id;
    uint64_t xxh3 = 0;    // Of the plain bytes.
    uint64_t offset = 0;  // In the image space.
    uint64_t bytes = 0;   // Plain bytes; multiple of 4096, at most kChunkBytesMax.
    ChunkCodec codec = ChunkCodec::kPlain;
};

inline constexpr uint64_t kChunkBytesMax = 4ULL << 20;
inline constexpr uint64_t kImageIndexBytesMax = 64ULL << 20;

struct ImageIndex {
    uint64_t bytes = 0;
    std::string architecture;        // For listings only.
    std::vector<ImageChunk> chunks;  // Contiguous from 0 to bytes.

    // A finished index, with digests.
    static Result<ImageIndex> parse(std::string_view json);
};

// The importer's index with the "chunks" that the daemon measured put in place of the importer's;
// kCorrupt when the two disagree about offsets or sizes.
Result<std::string> finish_image_index(std::string_view importer_index,
                                       const std::vector<ImageChunk>& chunks);
// SHA-256 of the canonical form (keys sorted, no white space), in hexadecimal.
Result<std::string> image_digest(std::string_view index_json);

}  // namespace rekindle::loader
