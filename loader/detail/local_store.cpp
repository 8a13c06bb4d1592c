#include "loader/detail/local_store.h"

#include "base/log.h"
#include "base/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <map>
#include <sys/file.h>
#include <system_error>
#include <unordered_map>
#include <vector>

namespace rekindle::loader {
namespace {

Result<UniqueFd> lock_folder(const std::string& folder) {
    const std::string path = folder + "/lock";
    UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!fd.valid()) {
        return errno_error(fmt::format("open {}", path), errno);
    }
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) {
            return Error{ErrorCode::kConflict,
                         fmt::format("chunk store {}: another process has it open", folder)};
        }
        return errno_error(fmt::format("lock {}", path), errno);
    }
    return fd;
}

}  // namespace

Result<std::unique_ptr<LocalChunkStore>> LocalChunkStore::create(const std::string& folder,
                                                                 const ChunkStoreOptions& options) {
    std::error_code ec;
    std::filesystem::create_directories(folder + "/packs", ec);
    if (ec) {
        return errno_error(fmt::format("create {}/packs", folder), ec.value());
    }
    auto lock = lock_folder(folder);
    if (!lock) {
        return std::move(lock).error();
    }
    std::unique_ptr<LocalChunkStore> store(new LocalChunkStore(folder, std::move(lock).value()));
    auto loaded = store->load(options);
    if (!loaded) {
        return std::move(loaded).error().with_context("chunk store");
    }
    return store;
}

Result<void> LocalChunkStore::load(const ChunkStoreOptions& options) {
    auto packs = PackFiles::open(folder_ + "/packs", options.pack_bytes_max);
    if (!packs) {
        return std::move(packs).error();
    }
    packs_ = std::move(packs).value();
    auto index = StoreIndex::open(folder_ + "/index");
    if (!index) {
        return std::move(index).error();
    }
    index_ = std::move(index).value();
    auto records = index_->read_chunks();
    if (!records) {
        return std::move(records).error();
    }
    records_ = std::move(records).value();
    return settle_packs();
}

Result<void> LocalChunkStore::settle_packs() {
    struct Used {
        uint64_t offset;
        uint64_t bytes;
    };

    std::map<uint32_t, std::vector<Used>> by_pack;
    for (const auto& [id, record] : records_) {
        const uint64_t bytes = align_up(record.stored_bytes, kPageBytes);
        by_pack[record.place.pack].push_back({.offset = record.place.offset, .bytes = bytes});
        stored_bytes_ += bytes;
    }
    for (auto& [pack, used] : by_pack) {
        std::ranges::sort(used, {}, &Used::offset);
        packs_->claim(pack, used.back().offset + used.back().bytes);
        // A crash between the end of a collect()'s index write and its holes leaves bytes that
        // nobody refers to; a hole over a hole costs nothing.
        uint64_t end = 0;
        for (const Used& range : used) {
            if (range.offset > end) {
                packs_->release({.pack = pack, .offset = end}, range.offset - end);
            }
            end = std::max(end, range.offset + range.bytes);
        }
    }
    return packs_->cut_tails();
}

const ChunkRecord* LocalChunkStore::find(const ChunkId& id) const {
    const auto at = records_.find(id);
    return at == records_.end() ? nullptr : &at->second;
}

Result<ChunkRecord> LocalChunkStore::record_of(const ChunkId& id) const {
    const std::lock_guard lock(state_);
    const ChunkRecord* const found = find(id);
    if (found == nullptr) {
        return Error{ErrorCode::kNotFound, fmt::format("chunk {}: not here", id.hex())};
    }
    return *found;
}

Result<ChunkLocation> LocalChunkStore::locate(const ChunkId& id) const {
    const auto record = record_of(id);
    if (!record) {
        return record.error();
    }
    if (quarantined(id)) {
        return Error{ErrorCode::kCorrupt,
                     fmt::format("chunk {} was found damaged on disk", id.hex())};
    }
    const PackFiles::Descriptor file = packs_->descriptor(record->place.pack);
    if (file.fd < 0) {
        return Error{ErrorCode::kCorrupt, fmt::format("chunk {}: the file {} is missing", id.hex(),
                                                      packs_->path(record->place.pack))};
    }
    return ChunkLocation{.fd = file.fd,
                         .direct = file.direct,
                         .offset = record->place.offset,
                         .stored_bytes = record->stored_bytes,
                         .codec = record->codec};
}

Result<std::string> LocalChunkStore::image_index(const std::string& digest) const {
    auto text = index_->read_image(digest);
    if (!text) {
        return std::move(text).error();
    }
    if (!text->has_value()) {
        return Error{ErrorCode::kNotFound, fmt::format("image {}: not here", digest)};
    }
    return **std::move(text);
}

Result<Garbage> LocalChunkStore::garbage(std::span<const std::string> images) const {
    std::unordered_map<ChunkId, uint32_t> dropped;  // References that would go.
    for (const std::string& digest : images) {
        const auto text = image_index(digest);
        if (!text) {
            return text.error();
        }
        const auto index = ImageIndex::parse(*text);
        if (!index) {
            return index.error().with_context("image " + digest);
        }
        for (const ImageChunk& chunk : index->chunks) {
            ++dropped[chunk.id];
        }
    }
    Garbage found;
    const std::lock_guard lock(state_);
    for (const auto& [id, record] : records_) {
        const auto less = dropped.find(id);
        if (record.references <= (less == dropped.end() ? 0 : less->second) &&
            !kept_.contains(id)) {
            ++found.chunks;
            found.bytes += align_up(record.stored_bytes, kPageBytes);
        }
    }
    return found;
}

void LocalChunkStore::keep(std::span<const ImageChunk> chunks) {
    const std::lock_guard lock(state_);
    for (const ImageChunk& chunk : chunks) {
        ++kept_[chunk.id];
    }
}

void LocalChunkStore::let_go(std::span<const ImageChunk> chunks) {
    const std::lock_guard lock(state_);
    for (const ImageChunk& chunk : chunks) {
        const auto at = kept_.find(chunk.id);
        REKINDLE_CHECK(at != kept_.end(), "a chunk is let go that was not kept");
        if (--at->second == 0) {
            kept_.erase(at);
        }
    }
}

void LocalChunkStore::quarantine(const ChunkId& id) {
    const std::lock_guard lock(state_);
    quarantine_.insert(id);
}

bool LocalChunkStore::quarantined(const ChunkId& id) const {
    const std::lock_guard lock(state_);
    return quarantine_.contains(id);
}

uint64_t LocalChunkStore::stored_bytes() const {
    const std::lock_guard lock(state_);
    return stored_bytes_;
}

}  // namespace rekindle::loader
