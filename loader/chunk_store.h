// Content-addressed chunks of one node, in pack files under one folder. A chunk that can be looked
// up is whole and never changes; a crash at any instruction leaves every committed chunk readable
// and at most unreferenced bytes at the end of the last pack, which open() cuts off.
// Threading: put, commit and lookup are serialised inside; reads go through a Ring without locks.
// Lifetime: outlives every location it gave out.
#pragma once
#include "base/result.h"
#include "loader/chunk_id.h"
#include "loader/image_index.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace rekindle::loader {

// Where a chunk's stored bytes lie. For plain chunks offset is 4096-aligned and stored_bytes equals
// the plain size, so that it can be read by O_DIRECT straight into its place.
struct ChunkLocation {
    int fd = -1;           // O_DIRECT where the file system allows, owned by the store.
    bool direct = false;
    uint64_t offset = 0;
    uint64_t stored_bytes = 0;
    ChunkCodec codec = ChunkCodec::kPlain;
};

class ChunkStore {
public:
    // Opens or creates `folder`/packs and its index. kConflict when another process has it open.
    static Result<std::unique_ptr<ChunkStore>> open(const std::string& folder);
    virtual ~ChunkStore() = default;

    // Stores `plain` unless a chunk of that content is here already; compresses when asked and when
    // that saves at least an eighth. Not visible after a crash before commit(). kNoSpace leaves
    // nothing behind but bytes that the next put reuses.
    virtual Result<ImageChunk> put(std::span<const std::byte> plain, bool compress) = 0;
    // Makes every chunk put so far durable (fdatasync of packs, then of the index).
    virtual Result<void> commit() = 0;
    // Drops chunks put since the last commit().
    virtual void rollback() = 0;

    virtual Result<ChunkLocation> locate(const ChunkId& id) const = 0;
    // Reference counts by image; a chunk that no image refers to is removed by collect().
    virtual Result<void> add_image(const std::string& digest, std::string_view index_json) = 0;
    virtual Result<void> remove_image(const std::string& digest) = 0;
    virtual Result<std::string> image_index(const std::string& digest) const = 0;
    // Punches holes over unreferenced chunks; bytes given back.
    virtual Result<uint64_t> collect() = 0;
    // Bytes of all stored chunks.
    virtual uint64_t stored_bytes() const = 0;
};

}  // namespace rekindle::loader
