#include "loader/detail/store_index.h"

#include "base/bytes.h"
#include "base/units.h"

#include <fmt/format.h>
#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

namespace rekindle::loader {
namespace {

constexpr std::string_view kVersionKey = "version";
constexpr std::string_view kVersion = "1";
constexpr char kChunkPrefix = 'c';
constexpr char kImagePrefix = 'i';

rocksdb::Slice slice(std::string_view text) {
    return {text.data(), text.size()};
}

std::string chunk_key(const ChunkId& id) {
    return kChunkPrefix + std::string(as_text(id.digest));
}

std::string image_key(std::string_view digest) {
    return kImagePrefix + std::string(digest);
}

Error index_error(std::string_view what, const rocksdb::Status& status) {
    ErrorCode code = ErrorCode::kIo;
    if (status.IsNoSpace()) {
        code = ErrorCode::kNoSpace;
    } else if (status.IsCorruption()) {
        code = ErrorCode::kCorrupt;
    }
    return Error{code, fmt::format("{}: {}", what, status.ToString())};
}

Error closed(const std::string& folder) {
    return Error{ErrorCode::kUnavailable, fmt::format("{}: could not be opened again", folder)};
}

std::vector<std::byte> encode(const ChunkRecord& record) {
    ByteWriter writer;
    writer.write(record.place.pack);
    writer.write(record.place.offset);
    writer.write(record.stored_bytes);
    writer.write(record.plain_bytes);
    writer.write(record.xxh3);
    writer.write(record.codec);
    writer.write(record.references);
    return writer.take();
}

Result<ChunkRecord> decode(std::string_view value) {
    ByteReader reader(as_bytes(value));
    ChunkRecord record;
    record.place.pack = reader.read<uint32_t>();
    record.place.offset = reader.read<uint64_t>();
    record.stored_bytes = reader.read<uint64_t>();
    record.plain_bytes = reader.read<uint64_t>();
    record.xxh3 = reader.read<uint64_t>();
    const auto codec = reader.read<uint8_t>();
    record.references = reader.read<uint32_t>();
    auto read = reader.finish("chunk record");
    if (!read) {
        return std::move(read).error();
    }
    record.codec = codec == 0 ? ChunkCodec::kPlain : ChunkCodec::kZstd;
    const bool plain = record.codec == ChunkCodec::kPlain;
    if (codec > 1 || record.place.pack == 0 || record.place.offset % kPageBytes != 0 ||
        record.plain_bytes == 0 || record.plain_bytes > kChunkBytesMax ||
        record.stored_bytes == 0 || record.stored_bytes > record.plain_bytes ||
        (plain && record.stored_bytes != record.plain_bytes)) {
        return Error{ErrorCode::kCorrupt, "chunk record: values out of range"};
    }
    return record;
}

rocksdb::Options options() {
    rocksdb::Options options;
    options.create_if_missing = true;
    options.compression = rocksdb::kNoCompression;  // Digests don't compress.
    options.write_buffer_size = 4 * kMiB;
    options.max_total_wal_size = 8 * kMiB;
    options.max_open_files = 64;
    options.keep_log_file_num = 2;
    options.max_log_file_size = 1 * kMiB;
    // No periodic work: an idle daemon does not wake up.
    options.stats_dump_period_sec = 0;
    options.stats_persist_period_sec = 0;
    return options;
}

Result<void> check_version(rocksdb::DB& db) {
    std::string version;
    const rocksdb::Status status = db.Get({}, slice(kVersionKey), &version);
    if (status.IsNotFound()) {
        rocksdb::WriteOptions synced;
        synced.sync = true;
        const rocksdb::Status written = db.Put(synced, slice(kVersionKey), slice(kVersion));
        if (!written.ok()) {
            return index_error("write the version", written);
        }
        return {};
    }
    if (!status.ok()) {
        return index_error("read the version", status);
    }
    if (version != kVersion) {
        return Error{ErrorCode::kUnsupported,
                     fmt::format("chunk store version \"{}\": this build reads version {}", version,
                                 kVersion)};
    }
    return {};
}

}  // namespace

IndexBatch::IndexBatch() : batch_(std::make_unique<rocksdb::WriteBatch>()) {}

IndexBatch::IndexBatch(IndexBatch&&) noexcept = default;
IndexBatch& IndexBatch::operator=(IndexBatch&&) noexcept = default;
IndexBatch::~IndexBatch() = default;

// WriteBatch reports errors of its memory limit only, and none is set: the statuses say nothing.
void IndexBatch::put_chunk(const ChunkId& id, const ChunkRecord& record) {
    const std::vector<std::byte> value = encode(record);
    static_cast<void>(batch_->Put(chunk_key(id), slice(as_text(value))));
}

void IndexBatch::erase_chunk(const ChunkId& id) {
    static_cast<void>(batch_->Delete(chunk_key(id)));
}

void IndexBatch::put_image(std::string_view digest, std::string_view index_json) {
    static_cast<void>(batch_->Put(image_key(digest), slice(index_json)));
}

void IndexBatch::erase_image(std::string_view digest) {
    static_cast<void>(batch_->Delete(image_key(digest)));
}

StoreIndex::StoreIndex(std::string folder) : folder_(std::move(folder)) {}

StoreIndex::~StoreIndex() = default;

Result<std::unique_ptr<StoreIndex>> StoreIndex::open(const std::string& folder) {
    std::unique_ptr<StoreIndex> index(new StoreIndex(folder));
    auto opened = index->open_database();
    if (!opened) {
        return std::move(opened).error();
    }
    return index;
}

Result<void> StoreIndex::open_database() {
    rocksdb::DB* opened = nullptr;
    const rocksdb::Status status = rocksdb::DB::Open(options(), folder_, &opened);
    if (!status.ok()) {
        return index_error(fmt::format("open {}", folder_), status);
    }
    db_.reset(opened);
    return check_version(*opened).with_context(folder_);
}

Result<void> StoreIndex::reopen() {
    const std::unique_lock lock(mutex_);
    db_.reset();
    auto opened = open_database();
    if (opened || db_ != nullptr) {
        return opened;
    }
    rocksdb::DB* readable = nullptr;
    const rocksdb::Status status = rocksdb::DB::OpenForReadOnly(options(), folder_, &readable);
    if (status.ok()) {
        db_.reset(readable);
    }
    return opened;
}

Result<ChunkRecords> StoreIndex::read_chunks() const {
    const std::shared_lock lock(mutex_);
    ChunkRecords records;
    const std::string prefix(1, kChunkPrefix);
    const std::unique_ptr<rocksdb::Iterator> at(db_->NewIterator({}));
    for (at->Seek(prefix); at->Valid() && at->key().starts_with(prefix); at->Next()) {
        ChunkId id;
        if (at->key().size() != 1 + id.digest.size()) {
            return Error{ErrorCode::kCorrupt, "chunk record: a key of the wrong length"};
        }
        std::memcpy(id.digest.data(), at->key().data() + 1, id.digest.size());
        auto record = decode({at->value().data(), at->value().size()});
        if (!record) {
            return std::move(record).error().with_context("chunk " + id.hex());
        }
        records.emplace(id, *record);
    }
    if (!at->status().ok()) {
        return index_error("read chunk records", at->status());
    }
    return records;
}

Result<std::optional<std::string>> StoreIndex::read_image(std::string_view digest) const {
    const std::shared_lock lock(mutex_);
    if (db_ == nullptr) {
        return closed(folder_);
    }
    std::string text;
    const rocksdb::Status status = db_->Get({}, image_key(digest), &text);
    if (status.IsNotFound()) {
        return std::optional<std::string>{};
    }
    if (!status.ok()) {
        return index_error("read an image index", status);
    }
    return std::optional<std::string>(std::move(text));
}

Result<std::vector<std::string>> StoreIndex::image_digests() const {
    const std::shared_lock lock(mutex_);
    if (db_ == nullptr) {
        return closed(folder_);
    }
    std::vector<std::string> digests;
    const std::string prefix(1, kImagePrefix);
    const std::unique_ptr<rocksdb::Iterator> at(db_->NewIterator({}));
    for (at->Seek(prefix); at->Valid() && at->key().starts_with(prefix); at->Next()) {
        digests.emplace_back(at->key().data() + 1, at->key().size() - 1);
    }
    if (!at->status().ok()) {
        return index_error("read images", at->status());
    }
    return digests;
}

Result<void> StoreIndex::write(IndexBatch& batch) {
    rocksdb::WriteOptions synced;
    synced.sync = true;
    const std::shared_lock lock(mutex_);
    if (db_ == nullptr) {
        return closed(folder_);
    }
    const rocksdb::Status status = db_->Write(synced, batch.batch_.get());
    if (!status.ok()) {
        return index_error("write the chunk index", status);
    }
    return {};
}

}  // namespace rekindle::loader
