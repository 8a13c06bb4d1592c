// How LocalChunkStore changes: chunks in, images in and out, space back.
#include "base/log.h"
#include "base/units.h"
#include "loader/chunk_codec.h"
#include "loader/detail/local_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <sys/mman.h>
#include <vector>

namespace rekindle::loader {
namespace {

// Page-aligned memory for reads around the page cache.
Result<Mapping> allocate_pages(uint64_t bytes) {
    void* const data =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) {
        return errno_error("allocate a buffer", errno);
    }
    return Mapping::adopt(data, bytes);
}

Result<void> read_stored(int fd, const ChunkRecord& record, std::span<std::byte> plain) {
    if (record.codec == ChunkCodec::kPlain) {
        return read_exact_at(fd, plain, record.place.offset);
    }
    auto stored = allocate_pages(align_up(record.stored_bytes, kPageBytes));
    if (!stored) {
        return std::move(stored).error();
    }
    auto read = read_exact_at(fd, stored->span(), record.place.offset);
    if (!read) {
        return read;
    }
    return decompress_chunk(stored->span().first(record.stored_bytes), plain);
}

}  // namespace

Result<Mapping> LocalChunkStore::read(const ChunkId& id) const {
    const auto record = record_of(id);
    if (!record) {
        return record.error();
    }
    const PackFiles::Descriptor file = packs_->descriptor(record->place.pack);
    auto plain = allocate_pages(record->plain_bytes);
    if (!plain) {
        return plain;
    }
    const auto got = file.fd < 0 ? errno_error(packs_->path(record->place.pack), ENOENT)
                                 : read_stored(file.fd, *record, plain->span());
    if (!got || sha256(plain->span()) != id.digest) {
        return Error{
            ErrorCode::kCorrupt,
            fmt::format("chunk {} at {} of {} is damaged{}", id.hex(), record->place.offset,
                        packs_->path(record->place.pack), got ? "" : ": " + got.error().message)};
    }
    const std::lock_guard lock(state_);
    quarantine_.erase(id);
    return plain;
}

bool LocalChunkStore::is_whole(const ChunkId& id, const ChunkRecord& record) const {
    const PackFiles::Descriptor file = packs_->descriptor(record.place.pack);
    auto plain = allocate_pages(record.plain_bytes);
    const bool whole = file.fd >= 0 && plain.ok() &&
                       read_stored(file.fd, record, plain->span()).ok() &&
                       xxh3(plain->span()) == record.xxh3;
    if (!whole) {
        log_warning("chunk_damaged", {{"chunk", id.hex()},
                                      {"file", packs_->path(record.place.pack)},
                                      {"offset", record.place.offset}});
    }
    return whole;
}

Result<ChunkRecord> LocalChunkStore::append(const ImageChunk& chunk,
                                            std::span<const std::byte> plain, bool compress) {
    std::vector<std::byte> packed;
    if (compress) {
        packed = compress_chunk(plain);
    }
    const std::span<const std::byte> stored = packed.empty() ? plain : std::span(packed);
    auto place = packs_->append(stored);
    if (!place) {
        return std::move(place).error().with_context("store a chunk");
    }
    const ChunkRecord* const damaged = find(chunk.id);
    return ChunkRecord{.place = *place,
                       .stored_bytes = stored.size(),
                       .plain_bytes = plain.size(),
                       .xxh3 = chunk.xxh3,
                       .codec = packed.empty() ? ChunkCodec::kPlain : ChunkCodec::kZstd,
                       .references = damaged != nullptr ? damaged->references : 0};
}

Result<ImageChunk> LocalChunkStore::put(std::span<const std::byte> plain, bool compress) {
    if (plain.empty() || plain.size() % kPageBytes != 0 || plain.size() > kChunkBytesMax) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("chunk of {} bytes: it must have whole pages, at most {} bytes",
                                 plain.size(), kChunkBytesMax)};
    }
    ImageChunk chunk;
    chunk.id.digest = sha256(plain);
    chunk.xxh3 = xxh3(plain);
    chunk.bytes = plain.size();

    const std::lock_guard lock(writes_);
    auto recovered = recover();
    if (!recovered) {
        return std::move(recovered).error();
    }
    const auto again = pending_.find(chunk.id);
    const ChunkRecord* const here = again != pending_.end() ? &again->second : find(chunk.id);
    const bool usable = again != pending_.end() ||
                        (here != nullptr && !quarantined(chunk.id) && is_whole(chunk.id, *here));
    if (usable) {
        chunk.codec = here->codec;
    } else {
        auto record = append(chunk, plain, compress);
        if (!record) {
            return std::move(record).error();
        }
        chunk.codec = record->codec;
        pending_.emplace(chunk.id, *record);
    }
    recent_.insert(chunk.id);
    return chunk;
}

Result<void> LocalChunkStore::commit() {
    const std::lock_guard lock(writes_);
    auto recovered = recover();
    return recovered ? commit_pending() : recovered;
}

Result<void> LocalChunkStore::commit_pending() {
    if (pending_.empty()) {
        return {};
    }
    auto synced = packs_->sync();
    if (!synced) {
        drop_pending();
        return std::move(synced).with_context("commit chunks");
    }
    IndexBatch batch;
    IndexBatch inverse;
    std::vector<ChunkRecord> replaced;
    for (const auto& [id, record] : pending_) {
        batch.put_chunk(id, record);
        if (const ChunkRecord* const before = find(id)) {
            inverse.put_chunk(id, *before);
            replaced.push_back(*before);
        } else {
            inverse.erase_chunk(id);
        }
    }
    auto written = write_index(std::move(batch), std::move(inverse));
    if (!written) {
        return std::move(written).with_context("commit chunks");
    }
    packs_->commit_tails();
    apply(pending_);
    pending_.clear();
    for (const ChunkRecord& record : replaced) {
        packs_->release(record.place, record.stored_bytes);
    }
    return {};
}

void LocalChunkStore::rollback() {
    const std::lock_guard lock(writes_);
    static_cast<void>(recover());  // What can't be taken back now is before the next change.
    drop_pending();
}

void LocalChunkStore::drop_pending() {
    pending_.clear();
    recent_.clear();
    if (!owed_) {  // Else the index may name these bytes after a crash: they stay.
        packs_->rollback();
    }
}

Result<void> LocalChunkStore::write_index(IndexBatch batch, IndexBatch inverse) {
    auto written = index_->write(batch);
    if (written) {
        return written;
    }
    owed_ = std::move(inverse);  // Paid before the next change: now it would fail as the write did.
    drop_pending();
    return written;
}

Result<void> LocalChunkStore::recover() {
    if (!owed_) {
        return {};
    }
    auto reopened = index_->reopen();
    if (!reopened) {
        return reopened;
    }
    auto written = index_->write(*owed_);
    if (!written) {
        return written;
    }
    owed_.reset();
    drop_pending();
    return {};
}

void LocalChunkStore::apply(const ChunkRecords& changed) {
    const std::lock_guard lock(state_);
    for (const auto& [id, record] : changed) {
        ChunkRecord& place = records_[id];
        stored_bytes_ -= align_up(place.stored_bytes, kPageBytes);
        stored_bytes_ += align_up(record.stored_bytes, kPageBytes);
        if (place.place != record.place) {
            quarantine_.erase(id);  // Stored anew.
        }
        place = record;
    }
}

Result<ChunkRecords> LocalChunkStore::recount(const ImageIndex& index, int sign) const {
    ChunkRecords changed;
    for (const ImageChunk& chunk : index.chunks) {
        const ChunkRecord* const record = find(chunk.id);
        if (record == nullptr) {
            return Error{ErrorCode::kNotFound, fmt::format("chunk {}: not here", chunk.id.hex())};
        }
        if (record->plain_bytes != chunk.bytes || record->xxh3 != chunk.xxh3) {
            return Error{ErrorCode::kCorrupt,
                         fmt::format("chunk {}: the image says {} bytes with XXH3 {:016x}, the "
                                     "store has {} with {:016x}",
                                     chunk.id.hex(), chunk.bytes, chunk.xxh3, record->plain_bytes,
                                     record->xxh3)};
        }
        ChunkRecord& counted = changed.try_emplace(chunk.id, *record).first->second;
        counted.references += static_cast<uint32_t>(sign);
    }
    return changed;
}

Result<void> LocalChunkStore::add_image(const std::string& digest, std::string_view index_json) {
    auto index = ImageIndex::parse(index_json);
    if (!index) {
        return std::move(index).error().with_context("image " + digest);
    }
    auto named = image_digest(index_json);
    if (!named || *named != digest) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("image {}: its index has the digest {}", digest,
                                 named ? *named : named.error().message)};
    }
    const std::lock_guard lock(writes_);
    auto recovered = recover();
    auto committed = recovered ? commit_pending() : std::move(recovered);
    if (!committed) {
        return committed;
    }
    auto here = index_->read_image(digest);
    if (!here || here->has_value()) {
        recent_.clear();
        return here ? Result<void>() : std::move(here).error();
    }
    auto changed = recount(*index, +1);
    if (!changed) {
        return std::move(changed).error().with_context("image " + digest);
    }
    IndexBatch batch;
    IndexBatch inverse;
    batch.put_image(digest, index_json);
    inverse.erase_image(digest);
    for (const auto& [id, record] : *changed) {
        batch.put_chunk(id, record);
        inverse.put_chunk(id, *find(id));
    }
    auto written = write_index(std::move(batch), std::move(inverse));
    if (!written) {
        return std::move(written).with_context("image " + digest);
    }
    apply(*changed);
    recent_.clear();
    return {};
}

Result<void> LocalChunkStore::remove_image(const std::string& digest) {
    const std::lock_guard lock(writes_);
    auto recovered = recover();
    if (!recovered) {
        return recovered;
    }
    auto text = image_index(digest);
    if (!text) {
        return std::move(text).error();
    }
    auto index = ImageIndex::parse(*text);
    if (!index) {
        return std::move(index).error().with_context("image " + digest);
    }
    auto changed = recount(*index, -1);
    if (!changed) {
        return std::move(changed).error().with_context("image " + digest);
    }
    IndexBatch batch;
    IndexBatch inverse;
    batch.erase_image(digest);
    inverse.put_image(digest, *text);
    for (const auto& [id, record] : *changed) {
        batch.put_chunk(id, record);
        inverse.put_chunk(id, *find(id));
    }
    auto written = write_index(std::move(batch), std::move(inverse));
    if (!written) {
        return std::move(written).with_context("image " + digest);
    }
    apply(*changed);
    return {};
}

Result<uint64_t> LocalChunkStore::collect() {
    const std::lock_guard lock(writes_);
    auto recovered = recover();
    if (!recovered) {
        return std::move(recovered).error();
    }
    IndexBatch batch;
    IndexBatch inverse;
    std::vector<std::pair<ChunkId, ChunkRecord>> unused;
    {
        const std::lock_guard state(state_);
        for (const auto& [id, record] : records_) {
            if (record.references == 0 && !recent_.contains(id) && !kept_.contains(id)) {
                batch.erase_chunk(id);
                inverse.put_chunk(id, record);
                unused.emplace_back(id, record);
            }
        }
    }
    if (unused.empty()) {
        return uint64_t{0};
    }
    auto written = write_index(std::move(batch), std::move(inverse));
    if (!written) {
        return std::move(written).error().with_context("collect chunks");
    }
    uint64_t bytes = 0;
    {
        const std::lock_guard state(state_);
        for (const auto& [id, record] : unused) {
            bytes += align_up(record.stored_bytes, kPageBytes);
            records_.erase(id);
        }
        stored_bytes_ -= bytes;
    }
    // From the ends of packs, so that tails are cut where they can be.
    std::ranges::sort(unused, std::greater(), [](const auto& entry) {
        return std::pair(entry.second.place.pack, entry.second.place.offset);
    });
    for (const auto& [id, record] : unused) {
        packs_->release(record.place, record.stored_bytes);
    }
    return bytes;
}

}  // namespace rekindle::loader
