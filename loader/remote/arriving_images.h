// Images that are served while their chunks still come from a remote place: what somebody waits for
// first, everything else behind it. What arrives is stored, so that a node that is started again
// goes on where it was. Invariants: nothing is handed over or stored whose SHA-256 is not its name;
// the store has an image only with all of its chunks, and until then they are kept from collect().
// Threading: any thread; what is fetched comes on threads of its own, which begin with the first
// image. Ownership: the store and what the context refers to outlive it; stop() before whoever
// waits for chunks goes.
#pragma once
#include "loader/chunk_store.h"
#include "loader/chunk_supply.h"
#include "loader/remote/remote_image.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace rekindle::remote {

struct ArrivalProgress {
    uint64_t bytes_here = 0;
    uint64_t bytes = 0;   // Of different chunks.
    std::string remote;   // Without its query.
    std::string problem;  // Why the last chunk did not come; empty: it did.
};

// Pauses of what nobody waits for, after a chunk that could not be had; doubled each time.
struct ArrivalPauses {
    std::chrono::milliseconds first{5'000};
    std::chrono::milliseconds longest{300'000};
};

class ArrivingImages : public loader::ChunkSupply {
public:
    struct Options {
        loader::ChunkStore& store;
        std::string folder;  // For what is on its way; made when it is needed.
        SourceContext context;
        ArrivalPauses pauses;
    };

    // Goes on with what an earlier process had begun; what can't be read there is logged and left.
    static std::unique_ptr<ArrivingImages> open(Options options);

    // Fetches the image behind what is waited for; nothing when the store has it. Durable. An image
    // that is on its way already comes from `address` from now on.
    virtual Result<void> add(const RemoteImage& image, const std::string& address) = 0;
    // Ends its fetches; whoever waits gets kCancelled. False when it is not on its way.
    virtual bool forget(const std::string& digest) = 0;
    virtual std::optional<ArrivalProgress> progress(const std::string& digest) const = 0;
    // Ends all fetches; whoever waits gets kCancelled. What is here stays for the next process.
    virtual void stop() = 0;
};

}  // namespace rekindle::remote
