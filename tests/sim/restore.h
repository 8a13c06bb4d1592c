// Restores on simulated time: the disk that images are read from (slow, failing, lying as told),
// and the daemon's own host tier, whose loader is driven from the queue of events. Threading: one
// thread.
#pragma once
#include "snapshot/tiers/detail/stepped_tier.h"
#include "snapshot/tiers/host_tier.h"
#include "tests/sim/images.h"
#include "tests/sim/world.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace rekindle::sim {

enum class ReadFault : uint8_t { kError, kShort, kAgain, kFlip };

// What is wrong with the images' disk; outlives daemons.
struct ReadFaults {
    Nanoseconds slow_until{};
    // The next read of this image goes wrong.
    std::map<size_t, ReadFault> next;
    // When a read last failed for good: what fails after that is explained. Of all images, because
    // they share chunks.
    std::optional<Nanoseconds> failed_at;
};

class RestoreDisk final : public loader::ReadBackend {
public:
    RestoreDisk(World& world, const ImageStore& store, ReadFaults& faults)
        : world_(world), store_(store), faults_(faults) {}

    // Called when a read has come back.
    void on_due(std::function<void()> callback) { on_due_ = std::move(callback); }
    bool any_in_flight() const noexcept { return !flying_.empty(); }
    bool any_due() const noexcept;

    uint32_t depth() const noexcept override { return 3; }
    void start(const loader::RawRead& read) override;
    // The read that came back first; when none has, the next one at once.
    loader::RawDone wait() override;

private:
    struct Flying {
        loader::RawRead read;
        Nanoseconds due;
        std::optional<ReadFault> fault;
    };

    World& world_;
    const ImageStore& store_;
    ReadFaults& faults_;
    std::function<void()> on_due_;
    uint64_t order_ = 0;
    std::map<uint64_t, Flying> flying_;  // By order of start.
};

class DrivenTier final : public snapshot::HostTier {
public:
    DrivenTier(World& world, ImageStore& store, ReadFaults& faults,
               snapshot::HostTierOptions options, std::function<void()> on_progress);
    ~DrivenTier() override;

    Result<std::shared_ptr<snapshot::ResidentImage>> acquire(const std::string& digest,
                                                             Done done) override;
    Result<void> evict(const std::string& digest) override { return inner_->evict(digest); }
    void drop(const std::string& digest) override { inner_->drop(digest); }
    bool resident(const std::string& digest) const override { return inner_->resident(digest); }
    uint64_t resident_bytes() const override { return inner_->resident_bytes(); }
    uint64_t free_bytes() const override { return inner_->free_bytes(); }
    void prepare(uint64_t image_bytes) override { inner_->prepare(image_bytes); }
    void wait_until_prepared() override { inner_->wait_until_prepared(); }
    void set_restore_share(uint32_t percent) override { inner_->set_restore_share(percent); }

private:
    void turn();

    World& world_;
    RestoreDisk* disk_ = nullptr;  // Owned by the restorer.
    std::optional<snapshot::SteppedTier> stepped_;
    snapshot::HostTier* inner_ = nullptr;
    const std::function<void()> on_progress_;
};

}  // namespace rekindle::sim
