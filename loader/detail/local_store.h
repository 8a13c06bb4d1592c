// The chunk store on local disks: PackFiles for bytes, StoreIndex for what lies where. Order of a
// write: bytes, fdatasync, index batch (synced), memory. So the index never names bytes that are
// not there, and what it does not name is garbage that open() takes back. Threading: `writes_` is
// held through every change, `state_` only while memory is read or changed, so that locate() never
// waits for a disk.
#pragma once
#include "base/unique_fd.h"
#include "loader/chunk_store.h"
#include "loader/detail/pack_files.h"
#include "loader/detail/store_index.h"

#include <mutex>
#include <optional>
#include <unordered_map>
#include <unordered_set>

namespace rekindle::loader {

class LocalChunkStore final : public ChunkStore {
public:
    static Result<std::unique_ptr<LocalChunkStore>> create(const std::string& folder,
                                                           const ChunkStoreOptions& options);

    Result<ImageChunk> put(std::span<const std::byte> plain, bool compress) override;
    Result<void> commit() override;
    void rollback() override;
    Result<ChunkLocation> locate(const ChunkId& id) const override;
    Result<void> add_image(const std::string& digest, std::string_view index_json) override;
    Result<void> remove_image(const std::string& digest) override;
    Result<std::string> image_index(const std::string& digest) const override;
    Result<std::vector<std::string>> images() const override { return index_->image_digests(); }
    Result<Mapping> read(const ChunkId& id) const override;
    Result<uint64_t> collect() override;
    void keep(std::span<const ImageChunk> chunks) override;
    void let_go(std::span<const ImageChunk> chunks) override;
    Result<Garbage> garbage(std::span<const std::string> images) const override;
    void quarantine(const ChunkId& id) override;
    uint64_t stored_bytes() const override;

private:
    LocalChunkStore(std::string folder, UniqueFd lock) noexcept
        : folder_(std::move(folder)), lock_(std::move(lock)) {}

    Result<void> load(const ChunkStoreOptions& options);
    // Claims the tails of packs and punches what lies between chunks.
    Result<void> settle_packs();

    // The following expect `writes_` to be held.
    bool is_whole(const ChunkId& id, const ChunkRecord& record) const;
    Result<ChunkRecord> append(const ImageChunk& chunk, std::span<const std::byte> plain,
                               bool compress);
    Result<void> commit_pending();
    void drop_pending();
    // Writes `batch`; when that fails, `inverse` is owed to the index before anything else.
    Result<void> write_index(IndexBatch batch, IndexBatch inverse);
    // Pays what is owed after a failed write.
    Result<void> recover();
    // Adds `sign` to the references of each chunk of `index`, as records to be written.
    Result<ChunkRecords> recount(const ImageIndex& index, int sign) const;
    void apply(const ChunkRecords& changed);

    const ChunkRecord* find(const ChunkId& id) const;  // Under state_.
    bool quarantined(const ChunkId& id) const;
    // kNotFound when the chunk is not here.
    Result<ChunkRecord> record_of(const ChunkId& id) const;

    const std::string folder_;
    const UniqueFd lock_;  // flock on `folder`/lock, held while the store is open.
    std::unique_ptr<PackFiles> packs_;
    std::unique_ptr<StoreIndex> index_;

    std::mutex writes_;
    ChunkRecords pending_;                // Put, not committed. Guarded by writes_.
    std::unordered_set<ChunkId> recent_;  // Kept by collect(). Guarded by writes_.
    std::optional<IndexBatch> owed_;      // Guarded by writes_.

    mutable std::mutex state_;
    ChunkRecords records_;       // Committed. Written under both mutexes, read under either.
    uint64_t stored_bytes_ = 0;  // Sum over records_, in whole pages. Guarded by state_.
    // Guarded by state_. Mutable: reading a chunk and finding it whole ends its quarantine.
    mutable std::unordered_set<ChunkId> quarantine_;
    std::unordered_map<ChunkId, uint32_t> kept_;  // How often. Guarded by state_.
};

}  // namespace rekindle::loader
