// Content-addressed chunks of one node, in pack files under one folder. A chunk that can be looked
// up is whole and never changes; a crash at any instruction leaves every committed chunk readable
// and at most unreferenced bytes at the end of the last pack, which open() cuts off.
// Threading: put, commit and lookup are serialised inside; reads go through a Ring without locks.
// Lifetime: outlives every location it gave out.
#pragma once
#include "base/result.h"
#include "base/unique_fd.h"
#include "loader/chunk_id.h"
#include "loader/image_index.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace rekindle::loader {

// Where a chunk's stored bytes lie: 4096-aligned, and followed by zeros up to a whole page. Plain
// chunks can be read by O_DIRECT straight into their place, compressed ones in whole pages into a
// buffer.
struct ChunkLocation {
    int fd = -1;  // O_DIRECT where the file system allows, owned by the store.
    bool direct = false;
    uint64_t offset = 0;
    uint64_t stored_bytes = 0;  // Without the zeros.
    ChunkCodec codec = ChunkCodec::kPlain;
};

// What can be given back.
struct Garbage {
    uint64_t chunks = 0;
    uint64_t bytes = 0;  // In whole pages.
};

struct ChunkStoreOptions {
    uint64_t pack_bytes_max = 8ULL << 30;  // A new pack begins where one would grow beyond.
};

class ChunkStore {
public:
    // Opens or creates `folder`/packs and its index. kConflict when another process has it open.
    static Result<std::unique_ptr<ChunkStore>> open(const std::string& folder);
    static Result<std::unique_ptr<ChunkStore>> open(const std::string& folder,
                                                    const ChunkStoreOptions& options);
    virtual ~ChunkStore() = default;

    // Stores `plain` unless a chunk of that content is here already and its bytes are still whole
    // (a damaged one is stored anew: deploying again repairs); compresses when asked and when that
    // saves at least an eighth. Not visible before commit(). kNoSpace leaves nothing behind but
    // bytes that the next put reuses. The answer's offset is the caller's to fill.
    virtual Result<ImageChunk> put(std::span<const std::byte> plain, bool compress) = 0;
    // Makes every chunk put so far durable (fdatasync of packs, then of the index). On failure they
    // are dropped as by rollback().
    virtual Result<void> commit() = 0;
    // Drops chunks put since the last commit().
    virtual void rollback() = 0;

    // kNotFound when no such chunk is committed, kCorrupt when its pack file is missing or when it
    // is in quarantine.
    virtual Result<ChunkLocation> locate(const ChunkId& id) const = 0;
    // Reference counts by image; a chunk that no image refers to is removed by collect(). Commits
    // what was put. kInvalidArgument when `digest` is not that of the index, kNotFound when a chunk
    // is not here. Adding an image that is here changes nothing.
    virtual Result<void> add_image(const std::string& digest, std::string_view index_json) = 0;
    virtual Result<void> remove_image(const std::string& digest) = 0;
    virtual Result<std::string> image_index(const std::string& digest) const = 0;
    // Digests of all images, sorted.
    virtual Result<std::vector<std::string>> images() const = 0;
    // A chunk's plain bytes, compared with their SHA-256: for copies and audits, not for serving.
    // kNotFound, kCorrupt. Blocks on the disk. Finding a chunk whole ends its quarantine.
    virtual Result<Mapping> read(const ChunkId& id) const = 0;
    // Punches holes over unreferenced chunks, except those put since the last add_image() or
    // rollback() (a deploy is under way); bytes given back.
    virtual Result<uint64_t> collect() = 0;
    // An image is on its way: collect() leaves its chunks alone, those here and those to come,
    // until let_go() was called as often. Forgotten when the store is closed.
    virtual void keep(std::span<const ImageChunk> chunks) = 0;
    virtual void let_go(std::span<const ImageChunk> chunks) = 0;
    // What collect() would give back if `images` were removed before; kNotFound when one is not
    // here.
    virtual Result<Garbage> garbage(std::span<const std::string> images) const = 0;
    // From now on nobody is told where this chunk lies, until it is stored anew, read() finds it
    // whole, or the store is opened again: for one whose bytes were found damaged.
    virtual void quarantine(const ChunkId& id) = 0;
    // Bytes of all committed chunks, in whole pages.
    virtual uint64_t stored_bytes() const = 0;
};

}  // namespace rekindle::loader
