#include "loader/chunk_codec.h"

#include <fmt/format.h>
#include <zstd.h>

namespace rekindle::loader {
namespace {

// Tables are compressed once and decompressed at every restore; zstd's decompression speed hardly
// depends on the level, its compression speed at 6 is still above a disk's.
constexpr int kLevel = 6;
// Most of an image are weights, on which no level gains much: only the speed differs.
constexpr int kWireLevel = 1;
static_assert(ZSTD_COMPRESSBOUND(kChunkBytesMax) <= kChunkFrameBytesMax);

}  // namespace

std::vector<std::byte> compress_chunk(std::span<const std::byte> plain) {
    std::vector<std::byte> stored(plain.size() - plain.size() / 8);
    const size_t bytes =
        ZSTD_compress(stored.data(), stored.size(), plain.data(), plain.size(), kLevel);
    if (ZSTD_isError(bytes) != 0U) {  // Mostly: it does not fit, so it does not pay.
        return {};
    }
    stored.resize(bytes);
    return stored;
}

std::vector<std::byte> frame_chunk(std::span<const std::byte> plain) {
    std::vector<std::byte> frame(ZSTD_compressBound(plain.size()));
    const size_t bytes =
        ZSTD_compress(frame.data(), frame.size(), plain.data(), plain.size(), kWireLevel);
    REKINDLE_CHECK(ZSTD_isError(bytes) == 0U, "a frame that is as long as it can be is enough");
    frame.resize(bytes);
    return frame;
}

Result<void> decompress_chunk(std::span<const std::byte> stored, std::span<std::byte> plain) {
    const size_t bytes = ZSTD_decompress(plain.data(), plain.size(), stored.data(), stored.size());
    if (ZSTD_isError(bytes) != 0U) {
        return Error{ErrorCode::kCorrupt, fmt::format("zstd: {}", ZSTD_getErrorName(bytes))};
    }
    if (bytes != plain.size()) {
        return Error{ErrorCode::kCorrupt,
                     fmt::format("zstd: {} bytes instead of {}", bytes, plain.size())};
    }
    return {};
}

}  // namespace rekindle::loader
