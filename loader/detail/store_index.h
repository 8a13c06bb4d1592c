// What lies where in the packs, and which images refer to it: a RocksDB of its own. Every write is
// one atomic, synced batch. Keys and values: docs/formats/chunk-store.md.
// Threading: the store serialises writes; reads are safe from any thread.
#pragma once
#include "base/result.h"
#include "loader/chunk_id.h"
#include "loader/detail/pack_files.h"
#include "loader/image_index.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace rocksdb {
class DB;
class WriteBatch;
}  // namespace rocksdb

namespace rekindle::loader {

struct ChunkRecord {
    PackPlace place;
    uint64_t stored_bytes = 0;  // Without padding.
    uint64_t plain_bytes = 0;
    uint64_t xxh3 = 0;  // Of the plain bytes.
    ChunkCodec codec = ChunkCodec::kPlain;
    uint32_t references = 0;  // From images, counted with repetition.
};

using ChunkRecords = std::unordered_map<ChunkId, ChunkRecord>;

// Changes that become durable together.
class IndexBatch {
public:
    IndexBatch();
    IndexBatch(IndexBatch&&) noexcept;
    IndexBatch& operator=(IndexBatch&&) noexcept;
    ~IndexBatch();

    void put_chunk(const ChunkId& id, const ChunkRecord& record);
    void erase_chunk(const ChunkId& id);
    void put_image(std::string_view digest, std::string_view index_json);
    void erase_image(std::string_view digest);

private:
    friend class StoreIndex;
    std::unique_ptr<rocksdb::WriteBatch> batch_;
};

class StoreIndex {
public:
    static Result<std::unique_ptr<StoreIndex>> open(const std::string& folder);
    ~StoreIndex();

    Result<ChunkRecords> read_chunks() const;
    // Nothing when there is no such image.
    Result<std::optional<std::string>> read_image(std::string_view digest) const;
    // Sorted.
    Result<std::vector<std::string>> image_digests() const;
    // After a failure it is unknown whether the batch will be there after a restart.
    Result<void> write(IndexBatch& batch);
    // Opens the database anew: after a failed write it refuses others, and its own recovery waits
    // for its own idea of free space. If that fails too, what is there can still be read.
    Result<void> reopen();

private:
    explicit StoreIndex(std::string folder);

    Result<void> open_database();

    const std::string folder_;
    mutable std::shared_mutex mutex_;  // Exclusive while the database is opened anew.
    std::unique_ptr<rocksdb::DB> db_;
};

}  // namespace rekindle::loader
