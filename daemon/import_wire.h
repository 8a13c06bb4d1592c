// The pipe from the importer process to rekindled: records of a fixed header {u32 kind, u32 payload
// bytes} and a little-endian payload. The importer may have been taken over by the file that it
// reads, so rekindled bounds and checks each field; the order is: chunks and progress, then either
// one index or one error, then the end of the pipe.
#pragma once
#include "base/bytes.h"
#include "base/result.h"
#include "base/units.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace rekindle::daemon {

inline constexpr size_t kImportHeaderBytes = 8;
inline constexpr uint64_t kImportChunkBytesMax = 4 * kMiB;   // docs/formats/image.md
inline constexpr uint64_t kImportIndexBytesMax = 64 * kMiB;  // docs/formats/image.md
inline constexpr uint64_t kImportErrorBytesMax = 16 * kKiB;  // Of the message.

enum class ImportRecordKind : uint32_t { kChunk = 1, kProgress = 2, kIndex = 3, kError = 4 };

struct ImportRecordHeader {
    ImportRecordKind kind = ImportRecordKind::kError;
    uint32_t bytes = 0;  // Of the payload.
};

// `plain` points into the payload.
struct ImportChunk {
    uint64_t offset = 0;
    bool compress = false;
    std::span<const std::byte> plain;
};

struct ImportProgressRecord {
    uint64_t done = 0;
    uint64_t total = 0;
};

struct ImportIndex {
    std::string json;
};

using ImportRecord = std::variant<ImportChunk, ImportProgressRecord, ImportIndex, Error>;

// Header and payload up to a chunk's plain bytes, which follow it on the pipe.
std::vector<std::byte> encode_chunk_head(uint64_t offset, bool compress, size_t plain_bytes);
std::vector<std::byte> encode_progress(ImportProgressRecord progress);
std::vector<std::byte> encode_index(std::string_view json);
// A message beyond kImportErrorBytesMax is cut.
std::vector<std::byte> encode_error(const Error& error);

// kCorrupt for an unknown kind or a length beyond that kind's limit.
Result<ImportRecordHeader> parse_import_header(
    std::span<const std::byte, kImportHeaderBytes> header);
// `payload` has header.bytes bytes. kCorrupt when it does not parse exactly.
Result<ImportRecord> parse_import_record(const ImportRecordHeader& header,
                                         std::span<const std::byte> payload);

// Holds the records of one import against the order and the sizes that an image can have.
class ImportSequence {
public:
    // A plan is an index alone, without the image's bytes.
    explicit ImportSequence(uint64_t source_bytes, bool plan_only = false) noexcept;

    // kCorrupt when `record` may not come now.
    Result<void> accept(const ImportRecord& record);

    uint64_t image_bytes() const noexcept { return image_bytes_; }

    bool ended() const noexcept { return ended_; }

private:
    Result<void> accept_chunk(const ImportChunk& chunk);

    uint64_t image_bytes_max_ = 0;
    bool plan_only_ = false;
    uint64_t image_bytes_ = 0;
    bool ended_ = false;
};

}  // namespace rekindle::daemon
