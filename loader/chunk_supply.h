// Where the chunks of an image come from that is served before all of them are in the store.
// Invariant: bytes that are handed over have been compared with the chunk's SHA-256. Threading: any
// thread; callbacks come on threads of the supply. Ownership: whoever waits for chunks shares the
// image, so that it can still be asked when it has arrived in the meantime.
#pragma once
#include "base/result.h"
#include "loader/image_index.h"

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace rekindle::loader {

class ArrivingImage {
public:
    virtual ~ArrivingImage() = default;
    virtual const std::string& index_json() const noexcept = 0;

    // Called once for each chunk that was asked for; must not block on the network.
    using OnChunk = std::function<void(const ImageChunk&, Result<std::span<const std::byte>>)>;
    // Fetches these before what nobody waits for, those first that the image names first. Returns
    // at once. After a chunk that can't be had, all that were asked for get the same error.
    virtual void want(const std::vector<ImageChunk>& chunks, OnChunk on_chunk) = 0;
};

class ChunkSupply {
public:
    virtual ~ChunkSupply() = default;
    // nullptr when no image of that digest is on its way.
    virtual std::shared_ptr<ArrivingImage> find(const std::string& digest) = 0;
};

}  // namespace rekindle::loader
