// Images in a remote place (docs/formats/remote.md): pushed and pulled chunk by chunk, many at a
// time, only those that are missing on the other side. Invariants: an index is written after every
// chunk that it names; nothing reaches the chunk store whose SHA-256 is not its name. A transfer
// that was broken off goes on where it ended when it is asked for again. Threading: blocking, on a
// compute thread, with threads of its own that have ended when it returns.
#pragma once
#include "base/json.h"
#include "base/result.h"
#include "loader/chunk_store.h"
#include "loader/remote/objects.h"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace rekindle::remote {

// Plain bytes of the image that are where they should be.
using OnTransfer = std::function<void(uint64_t done, uint64_t total)>;

struct TransferReport {
    std::string image;  // Digest.
    uint64_t image_bytes = 0;
    uint64_t chunks = 0;        // Different ones.
    uint64_t chunks_moved = 0;  // The others were there.
    uint64_t bytes_moved = 0;   // As they went over the wire.
};

// What a name in a remote place stands for.
struct RemoteImage {
    std::string digest;
    std::string index_json;
    json::object manifest;  // Of the deployment that was pushed; empty for an image alone.
};

struct PushOrder {
    std::string image;      // Digest.
    std::string name;       // Empty: the image gets no name there.
    json::object manifest;  // Canonical.
};

Result<TransferReport> push_image(const loader::ChunkStore& store, const PushOrder& order,
                                  const RemotePlace& place, const OnTransfer& on_progress);

// `what` is a name or sha256:DIGEST. kNotFound, kCorrupt.
Result<RemoteImage> find_image(const RemotePlace& place, std::string_view what);

// Brings every chunk that is not here whole, then adds the image. Chunks that are here are read and
// compared, so that pulling again repairs what is damaged.
Result<TransferReport> pull_image(loader::ChunkStore& store, const RemoteImage& image,
                                  const RemotePlace& place, const OnTransfer& on_progress);

// Each chunk of an image once, in order of first use.
std::vector<loader::ImageChunk> different_chunks(const loader::ImageIndex& index);

// One chunk, compared with its name.
Result<std::vector<std::byte>> fetch_chunk(Objects& objects, const loader::ImageChunk& chunk,
                                           uint64_t& wire_bytes);

// The content of names/NAME.json. kCorrupt.
struct NameRecord {
    std::string digest;
    json::object manifest;
};

Result<NameRecord> parse_name_record(std::string_view text);
std::string name_record(const PushOrder& order);

}  // namespace rekindle::remote
