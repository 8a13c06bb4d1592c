// Which chunks of one image are here, which are being fetched, and who waits for them. Bookkeeping
// alone. Invariant: a chunk is taken by one thread at a time, and everybody who asked for it is
// told once. Threading: under its owner's mutex.
#pragma once
#include "base/result.h"
#include "loader/chunk_supply.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

namespace rekindle::remote {

class Arrival {
public:
    using OnChunk = loader::ArrivingImage::OnChunk;

    // Chunks in order of their first use, each once.
    explicit Arrival(std::vector<loader::ImageChunk> chunks);

    const std::vector<loader::ImageChunk>& chunks() const noexcept { return chunks_; }

    // Chunks that the image does not have are left out.
    void want(const std::vector<loader::ImageChunk>& chunks, const OnChunk& on_chunk);
    // Takes the first chunk that somebody waits for, whether it is here or not.
    std::optional<size_t> take_wanted();
    // Takes the first chunk that is missing.
    std::optional<size_t> take_missing();
    // Who waits for it; they are forgotten.
    std::vector<OnChunk> take_waiters(size_t chunk);

    struct Waiter {
        size_t chunk = 0;
        OnChunk on_chunk;
    };

    // Everybody; those of `first` before the others.
    std::vector<Waiter> take_all_waiters(size_t first);
    // Gives a chunk that was taken back.
    void put_back(size_t chunk, bool here);
    // For one that nobody has taken.
    void set_here(size_t chunk, bool here);

    bool here(size_t chunk) const noexcept { return states_[chunk].here; }
    bool wanted() const noexcept { return waiting_ > 0; }
    bool complete() const noexcept { return here_ == chunks_.size(); }
    uint64_t bytes_here() const noexcept { return bytes_here_; }
    uint64_t bytes() const noexcept { return bytes_; }

private:
    struct State {
        bool here = false;
        bool taken = false;
        std::vector<OnChunk> waiting;
    };

    const std::vector<loader::ImageChunk> chunks_;
    std::vector<State> states_;  // As chunks_.
    std::unordered_map<loader::ChunkId, size_t> places_;
    size_t here_ = 0;
    size_t waiting_ = 0;  // Chunks that somebody waits for.
    uint64_t bytes_here_ = 0;
    uint64_t bytes_ = 0;
};

}  // namespace rekindle::remote
