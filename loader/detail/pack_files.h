// The pack files of one chunk store: numbered, append-only at their tails, every chunk padded to
// whole pages. What lies where is the index's business; packs only know their tails.
// Invariant: bytes below a committed tail are never overwritten while something refers to them.
// Threading: the store serialises everything but descriptor(), which is safe beside one writer.
// Ownership: owns the descriptors it gives out.
#pragma once
#include "base/result.h"
#include "base/unique_fd.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>

namespace rekindle::loader {

struct PackPlace {
    uint32_t pack = 0;
    uint64_t offset = 0;  // Multiple of 4096.

    bool operator==(const PackPlace&) const = default;
};

class PackFiles {
public:
    struct Descriptor {
        int fd = -1;  // -1: the pack is missing.
        bool direct = false;
    };

    // Opens every pack in `folder`. `pack_bytes_max`: where a new pack begins.
    static Result<std::unique_ptr<PackFiles>> open(const std::string& folder,
                                                   uint64_t pack_bytes_max);

    // Says that bytes below `tail` of `pack` are in use; a file that is missing is remembered as
    // such. Called for each pack that the index names, then cut_tails().
    void claim(uint32_t pack, uint64_t tail);
    // Cuts what no chunk claimed off every file.
    Result<void> cut_tails();

    // Writes `stored`, padded to whole pages, at the tail. On failure the file is as before.
    Result<PackPlace> append(std::span<const std::byte> stored);
    // Makes everything appended durable and commits the tails.
    Result<void> sync();
    // Takes back what was appended since the last sync() or commit_tails().
    void rollback();
    // Gives up the possibility to roll back.
    void commit_tails();
    // Returns a range to the file system: cuts it off at a tail, else punches a hole.
    void release(const PackPlace& place, uint64_t bytes);

    Descriptor descriptor(uint32_t pack) const;
    std::string path(uint32_t pack) const;

private:
    struct Pack {
        UniqueFd write;
        UniqueFd read;
        bool direct = false;
        bool dirty = false;
        uint64_t tail = 0;
        uint64_t committed = 0;
    };

    PackFiles(std::string folder, uint64_t pack_bytes_max)
        : folder_(std::move(folder)), pack_bytes_max_(pack_bytes_max) {}

    Result<void> open_pack(uint32_t number, bool create);
    // The pack that takes `bytes` more, created when the last one is full.
    Result<uint32_t> pack_for(uint64_t bytes);

    const std::string folder_;
    const uint64_t pack_bytes_max_;
    mutable std::mutex mutex_;  // Guards the map against descriptor() while a pack is added.
    std::map<uint32_t, Pack> packs_;
    bool folder_dirty_ = false;
    bool direct_refused_ = false;  // Logged once.
};

}  // namespace rekindle::loader
