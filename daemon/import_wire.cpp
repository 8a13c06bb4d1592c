#include "daemon/import_wire.h"

#include "base/utf8.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace rekindle::daemon {

namespace {

constexpr uint64_t kChunkHeadBytes = sizeof(uint64_t) + sizeof(uint8_t);  // Offset, compress.
constexpr uint64_t kProgressBytes = 2 * sizeof(uint64_t);
constexpr uint64_t kErrorHeadBytes = 2 * sizeof(uint32_t);  // Code, message length.

ByteWriter begin_record(ImportRecordKind kind, uint64_t payload_bytes) {
    ByteWriter out;
    out.write(kind);
    out.write(static_cast<uint32_t>(payload_bytes));
    return out;
}

// 0 for an unknown kind.
uint64_t payload_bytes_max(ImportRecordKind kind) noexcept {
    switch (kind) {
        case ImportRecordKind::kChunk:
            return kChunkHeadBytes + kImportChunkBytesMax;
        case ImportRecordKind::kProgress:
            return kProgressBytes;
        case ImportRecordKind::kIndex:
            return kImportIndexBytesMax;
        case ImportRecordKind::kError:
            return kErrorHeadBytes + kImportErrorBytesMax;
    }
    return 0;
}

Error corrupt(std::string what) {
    return {ErrorCode::kCorrupt, "importer: " + std::move(what)};
}

ImportRecord read_chunk(ByteReader& reader) {
    ImportChunk chunk;
    chunk.offset = reader.read<uint64_t>();
    chunk.compress = reader.read<uint8_t>() != 0;
    chunk.plain = reader.read_span(reader.remaining());
    return chunk;
}

ImportRecord read_progress(ByteReader& reader) {
    ImportProgressRecord progress;
    progress.done = reader.read<uint64_t>();
    progress.total = reader.read<uint64_t>();
    return progress;
}

ImportRecord read_index(ByteReader& reader) {
    const auto text = reader.read_span(reader.remaining());
    return ImportIndex{{reinterpret_cast<const char*>(text.data()), text.size()}};
}

// The message quotes names out of the file, and goes on to logs, terminals and JSON.
std::string printable(std::string message) {
    message = sanitize_utf8(message);
    std::replace_if(
        message.begin(), message.end(), [](char c) { return (c >= 0 && c < 0x20) || c == 0x7f; },
        ' ');
    return message;
}

ImportRecord read_error(ByteReader& reader) {
    const auto code = reader.read<uint32_t>();
    Error error;
    error.code = code <= static_cast<uint32_t>(ErrorCode::kInternal) ? static_cast<ErrorCode>(code)
                                                                     : ErrorCode::kInternal;
    error.message = printable(reader.read_string());
    return error;
}

ImportRecord read_record(ImportRecordKind kind, ByteReader& reader) {
    switch (kind) {
        case ImportRecordKind::kChunk:
            return read_chunk(reader);
        case ImportRecordKind::kProgress:
            return read_progress(reader);
        case ImportRecordKind::kIndex:
            return read_index(reader);
        case ImportRecordKind::kError:
            break;
    }
    return read_error(reader);
}

}  // namespace

std::vector<std::byte> encode_chunk_head(uint64_t offset, bool compress, size_t plain_bytes) {
    ByteWriter out = begin_record(ImportRecordKind::kChunk, kChunkHeadBytes + plain_bytes);
    out.write(offset);
    out.write(static_cast<uint8_t>(compress ? 1 : 0));
    return out.take();
}

std::vector<std::byte> encode_progress(ImportProgressRecord progress) {
    ByteWriter out = begin_record(ImportRecordKind::kProgress, kProgressBytes);
    out.write(progress.done);
    out.write(progress.total);
    return out.take();
}

std::vector<std::byte> encode_index(std::string_view json) {
    ByteWriter out = begin_record(ImportRecordKind::kIndex, json.size());
    out.write_span(std::as_bytes(std::span(json)));
    return out.take();
}

std::vector<std::byte> encode_error(const Error& error) {
    const std::string_view message =
        std::string_view(error.message).substr(0, static_cast<size_t>(kImportErrorBytesMax));
    ByteWriter out = begin_record(ImportRecordKind::kError, kErrorHeadBytes + message.size());
    out.write(static_cast<uint32_t>(error.code));
    out.write_string(message);
    return out.take();
}

Result<ImportRecordHeader> parse_import_header(
    std::span<const std::byte, kImportHeaderBytes> header) {
    ByteReader reader(header);
    ImportRecordHeader parsed;
    parsed.kind = reader.read<ImportRecordKind>();
    parsed.bytes = reader.read<uint32_t>();
    const uint64_t bytes_max = payload_bytes_max(parsed.kind);
    if (bytes_max == 0) {
        return corrupt(
            fmt::format("record kind {} is not known", static_cast<uint32_t>(parsed.kind)));
    }
    if (parsed.bytes > bytes_max) {
        return corrupt(fmt::format("a record of kind {} has {} bytes; at most {} are allowed",
                                   static_cast<uint32_t>(parsed.kind), parsed.bytes, bytes_max));
    }
    return parsed;
}

Result<ImportRecord> parse_import_record(const ImportRecordHeader& header,
                                         std::span<const std::byte> payload) {
    ByteReader reader(payload);
    ImportRecord record = read_record(header.kind, reader);
    if (Result<void> finished = reader.finish("importer record"); !finished) {
        return finished.error();
    }
    return record;
}

// No honest import makes more of a source: F16 vectors double and tables grow, a few times at most;
// 1,024 layers of small tensors fill 9,216 pages, and few rows are padded to a panel.
ImportSequence::ImportSequence(uint64_t source_bytes, bool plan_only) noexcept
    : plan_only_(plan_only) {
    constexpr uint64_t kGrowthMax = 8;
    constexpr uint64_t kPaddingMax = 64 * kMiB;
    constexpr uint64_t kSourceBytesMax = uint64_t{1} << 56;
    image_bytes_max_ = std::min(source_bytes, kSourceBytesMax) * kGrowthMax + kPaddingMax;
}

Result<void> ImportSequence::accept(const ImportRecord& record) {
    if (ended_) {
        return corrupt("a record comes after the last one");
    }
    if (const auto* const chunk = std::get_if<ImportChunk>(&record)) {
        return accept_chunk(*chunk);
    }
    if (const auto* const progress = std::get_if<ImportProgressRecord>(&record)) {
        return progress->done <= progress->total
                   ? Result<void>()
                   : corrupt(fmt::format("progress is {} of {}", progress->done, progress->total));
    }
    ended_ = true;
    if (std::holds_alternative<ImportIndex>(record) && image_bytes_ == 0 && !plan_only_) {
        return corrupt("the index comes before any chunk");
    }
    return {};
}

Result<void> ImportSequence::accept_chunk(const ImportChunk& chunk) {
    const uint64_t bytes = chunk.plain.size();
    if (plan_only_) {
        return corrupt("a chunk comes where a plan was asked for");
    }
    if (chunk.offset != image_bytes_) {
        return corrupt(fmt::format("a chunk is at {}, {} was next", chunk.offset, image_bytes_));
    }
    if (bytes == 0 || bytes % kPageBytes != 0) {
        return corrupt(fmt::format("a chunk has {} bytes; whole pages are expected", bytes));
    }
    if (bytes > image_bytes_max_ - image_bytes_) {
        return corrupt(fmt::format("more than {} bytes are made of the source", image_bytes_max_));
    }
    image_bytes_ += bytes;
    return {};
}

}  // namespace rekindle::daemon
