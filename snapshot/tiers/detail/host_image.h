// One image in host memory, from the moment its restore starts. The tier's table, the restore and
// every caller of acquire() refer to it; the memory goes with the last of them, on whatever thread
// that is, and the budget gets its bytes back then.
// Threading: const members from any thread; memory() is the loader thread's until complete.
#pragma once
#include "loader/image_index.h"
#include "snapshot/tiers/detail/extent_pool.h"
#include "snapshot/tiers/detail/image_memory.h"
#include "snapshot/tiers/host_tier.h"

#include <atomic>
#include <string>
#include <utility>

namespace rekindle::snapshot {

class HostImage final : public ResidentImage {
public:
    struct Parts {
        std::string digest;
        std::string index_json;
        loader::ImageIndex index;
    };

    HostImage(Parts parts, ExtentPool::Share share, ImageMemory memory)
        : share_(std::move(share)), parts_(std::move(parts)), memory_(std::move(memory)) {}

    const std::string& digest() const noexcept override { return parts_.digest; }

    const std::string& index_json() const noexcept override { return parts_.index_json; }

    uint64_t bytes() const noexcept override { return parts_.index.bytes; }

    Result<Descriptors> descriptors() const override { return memory_.share(); }

    bool complete() const noexcept override { return state_.load() == State::kComplete; }

    bool failed() const noexcept override { return state_.load() == State::kFailed; }

    RestoreTimes times() const override { return complete() ? times_ : RestoreTimes{}; }

    const loader::ImageIndex& index() const noexcept { return parts_.index; }

    ImageMemory& memory() noexcept { return memory_; }

    void set_complete(const RestoreTimes& times) {
        times_ = times;
        state_.store(State::kComplete);
    }

    void set_failed() noexcept { state_.store(State::kFailed); }

private:
    enum class State { kLoading, kComplete, kFailed };

    const ExtentPool::Share share_;  // First member: given back after the memory is gone.
    const Parts parts_;
    ImageMemory memory_;
    std::atomic<State> state_{State::kLoading};
    RestoreTimes times_;  // Written before state_ says kComplete.
};

}  // namespace rekindle::snapshot
