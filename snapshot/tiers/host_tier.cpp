#include "snapshot/tiers/host_tier.h"

#include "base/log.h"
#include "base/units.h"
#include "snapshot/tiers/detail/host_image.h"
#include "snapshot/tiers/detail/restore_pace.h"
#include "snapshot/tiers/detail/restorer.h"
#include "snapshot/tiers/detail/stepped_tier.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <unordered_map>

namespace rekindle::snapshot {
namespace {

constexpr uint32_t kQueueDepthMax = 4096;

// What a restore needs to know, gathered before anything is allocated.
struct Plan {
    HostImage::Parts parts;
    std::vector<loader::ChunkLocation> places;  // Without a descriptor: not here.
    // Of an image that is on its way: what is not here is asked of it. Shared with its supply.
    std::shared_ptr<loader::ArrivingImage> arriving;
    std::vector<loader::ImageChunk> missing;
};

Result<Plan> plan_restore(const loader::ChunkStore& store, loader::ChunkSupply* supply,
                          const std::string& digest) {
    Plan plan;
    plan.arriving = supply == nullptr ? nullptr : supply->find(digest);
    auto text = plan.arriving == nullptr ? store.image_index(digest)
                                         : Result<std::string>(plan.arriving->index_json());
    if (!text) {
        return std::move(text).error();
    }
    auto index = loader::ImageIndex::parse(*text);
    if (!index) {
        return std::move(index).error().with_context("image " + digest);
    }
    plan.places.reserve(index->chunks.size());
    for (const loader::ImageChunk& chunk : index->chunks) {
        auto place = store.locate(chunk.id);
        if (!place && plan.arriving != nullptr) {
            plan.missing.push_back(chunk);
            place = loader::ChunkLocation{};
        }
        if (!place) {
            return Error{place.error().code,
                         fmt::format("image {}: {}; run `rekindle deploy` again", digest,
                                     place.error().message)};
        }
        plan.places.push_back(*place);
    }
    plan.parts = {
        .digest = digest, .index_json = std::move(text).value(), .index = std::move(index).value()};
    return plan;
}

class LocalHostTier final : public HostTier {
public:
    LocalHostTier(loader::ChunkStore& store, const Clock& clock, HostTierOptions options,
                  std::unique_ptr<loader::ReadBackend> backend)
        : store_(store),
          options_(options),
          pool_({.budget_bytes = options.budget_bytes,
                 .kept_bytes = options.kept_bytes,
                 .extent_bytes = options.extent_bytes}),
          pace_(clock),
          restorer_(std::in_place, clock, std::move(backend), options.through_buffers,
                    [this](std::shared_ptr<HostImage> image, const Result<RestoreTimes>& result) {
                        finish(std::move(image), result);
                    }) {}

    void start_loader() { loader_.emplace(*restorer_, pace_); }

    Restorer& restorer() noexcept { return *restorer_; }

    ~LocalHostTier() override {
        loader_.reset();                    // Lets running restores end.
        while (restorer_->start_reads()) {  // Without a thread: here.
            restorer_->finish_read();
        }
        restorer_.reset();
        for (const auto& [digest, entry] : entries_) {
            REKINDLE_CHECK(entry.image.use_count() == 1, "an image is held beyond its tier");
        }
        entries_.clear();
    }

    Result<std::shared_ptr<ResidentImage>> acquire(const std::string& digest, Done done) override;
    Result<void> evict(const std::string& digest) override;
    void drop(const std::string& digest) override;

    bool resident(const std::string& digest) const override {
        const std::lock_guard lock(mutex_);
        const auto at = entries_.find(digest);
        return at != entries_.end() && at->second.image->complete();
    }

    uint64_t resident_bytes() const override { return pool_.held_bytes(); }

    uint64_t free_bytes() const override { return pool_.free_bytes(); }

    void prepare(uint64_t image_bytes) override { pool_.prepare(image_bytes); }

    void wait_until_prepared() override { pool_.wait_until_idle(); }

    void set_restore_share(uint32_t percent) override { pace_.set_share(percent); }

private:
    struct Entry {
        // Shared by this table, the restore and callers on other threads: whoever is last frees it.
        std::shared_ptr<HostImage> image;
        uint64_t last_use = 0;
        std::vector<Done> waiting;  // While the image is loading.
    };

    using Handle = std::shared_ptr<ResidentImage>;

    // The image that is here or on its way; takes `done` when there is one.
    Handle join(const std::string& digest, Done& done);
    // Expects starts_; the image is not in the table.
    Result<Handle> start(Plan plan, Done& done);
    // On a thread of the supply.
    void take_chunk(const std::shared_ptr<HostImage>& image, const loader::ImageChunk& chunk,
                    Result<std::span<const std::byte>> bytes);
    // Takes `bytes` of the budget, evicting what nobody holds, least recently used first.
    Result<ExtentPool::Share> reserve(const std::string& digest, uint64_t bytes);
    // The least recently used image that nobody holds, out of the table; expects mutex_.
    std::shared_ptr<HostImage> take_victim();
    // On the loader thread, or whoever drives the restorer.
    void finish(std::shared_ptr<HostImage> image, const Result<RestoreTimes>& result);

    loader::ChunkStore& store_;
    const HostTierOptions options_;
    std::mutex starts_;  // Held while a restore is prepared: one at a time. Taken before mutex_.
    ExtentPool pool_;
    mutable std::mutex mutex_;
    std::unordered_map<std::string, Entry> entries_;  // Loading and complete, never failed.
    uint64_t uses_ = 0;
    RestorePace pace_;
    std::optional<Restorer> restorer_;
    std::optional<LoaderThread> loader_;  // Last: uses all of the above.
};

Result<LocalHostTier::Handle> LocalHostTier::acquire(const std::string& digest, Done done) {
    if (Handle here = join(digest, done)) {
        return here;
    }
    const std::lock_guard lock(starts_);
    if (Handle here = join(digest, done)) {  // Started by another thread meanwhile.
        return here;
    }
    auto plan = plan_restore(store_, options_.supply, digest);
    if (!plan) {
        return std::move(plan).error();
    }
    return start(std::move(plan).value(), done);
}

LocalHostTier::Handle LocalHostTier::join(const std::string& digest, Done& done) {
    std::unique_lock lock(mutex_);
    const auto at = entries_.find(digest);
    if (at == entries_.end()) {
        return nullptr;
    }
    Entry& entry = at->second;
    entry.last_use = ++uses_;
    const std::shared_ptr<HostImage> image = entry.image;
    if (!image->complete()) {
        entry.waiting.push_back(std::move(done));
        return image;
    }
    lock.unlock();
    RestoreTimes times;
    times.from_memory = true;
    done(times);
    return image;
}

Result<LocalHostTier::Handle> LocalHostTier::start(Plan plan, Done& done) {
    const std::string digest = plan.parts.digest;
    const size_t chunks = plan.parts.index.chunks.size();
    const uint64_t bytes = plan.parts.index.bytes;
    const ImageMemory::Need need = ImageMemory::need_of(pool_, bytes, chunks);
    auto share = reserve(digest, need.bytes);
    if (!share) {
        return std::move(share).error();
    }
    auto memory = ImageMemory::allocate(pool_, need, bytes);
    if (!memory) {
        return std::move(memory).error().with_context("image " + digest);
    }
    const auto image = std::make_shared<HostImage>(std::move(plan.parts), std::move(share).value(),
                                                   std::move(memory).value());
    {
        const std::lock_guard lock(mutex_);
        Entry& entry = entries_[digest];
        entry.image = image;
        entry.last_use = ++uses_;
        entry.waiting.push_back(std::move(done));
    }
    restorer_->restore(image, std::move(plan.places));
    if (!plan.missing.empty()) {
        plan.arriving->want(plan.missing, [this, image](const loader::ImageChunk& chunk,
                                                        Result<std::span<const std::byte>> bytes) {
            take_chunk(image, chunk, std::move(bytes));
        });
    }
    return Handle(image);
}

void LocalHostTier::take_chunk(const std::shared_ptr<HostImage>& image,
                               const loader::ImageChunk& chunk,
                               Result<std::span<const std::byte>> bytes) {
    const std::vector<loader::ImageChunk>& chunks = image->index().chunks;
    for (size_t i = 0; i < chunks.size(); ++i) {
        if (chunks[i].id != chunk.id) {
            continue;
        }
        if (bytes) {  // Nobody reads this place before its latch is set.
            std::ranges::copy(*bytes, image->memory().space().subspan(chunks[i].offset).begin());
        }
        restorer_->deliver(image, i, bytes ? Result<void>() : Result<void>(bytes.error()));
    }
}

Result<ExtentPool::Share> LocalHostTier::reserve(const std::string& digest, uint64_t bytes) {
    for (;;) {
        if (auto share = pool_.reserve(bytes)) {
            return std::move(*share);
        }
        // Destroyed outside of the lock: giving back pages takes time.
        std::shared_ptr<HostImage> victim;
        if (bytes <= options_.budget_bytes) {
            const std::lock_guard lock(mutex_);
            victim = take_victim();
        }
        if (victim == nullptr) {
            pool_.give_up_reserving();
            return Error{
                ErrorCode::kResourceExhausted,
                fmt::format("image {}: needs {} of host memory, the budget is {} "
                            "({} in use); raise --host-memory",
                            digest, format_bytes(bytes), format_bytes(options_.budget_bytes),
                            format_bytes(pool_.held_bytes()))};
        }
        log_info("image_evicted", {{"image", victim->digest()}, {"bytes", victim->bytes()}});
    }
}

std::shared_ptr<HostImage> LocalHostTier::take_victim() {
    auto oldest = entries_.end();
    for (auto at = entries_.begin(); at != entries_.end(); ++at) {
        // New references come from the table (under the lock) or from existing ones: 1 stays 1.
        const Entry& entry = at->second;
        if (entry.image.use_count() == 1 && entry.image->complete() &&
            (oldest == entries_.end() || entry.last_use < oldest->second.last_use)) {
            oldest = at;
        }
    }
    if (oldest == entries_.end()) {
        return nullptr;
    }
    std::shared_ptr<HostImage> victim = std::move(oldest->second.image);
    entries_.erase(oldest);
    return victim;
}

Result<void> LocalHostTier::evict(const std::string& digest) {
    std::shared_ptr<HostImage> victim;  // Destroyed outside of the lock.
    const std::lock_guard lock(mutex_);
    const auto at = entries_.find(digest);
    if (at == entries_.end()) {
        return Error{ErrorCode::kNotFound, fmt::format("image {}: not in host memory", digest)};
    }
    if (at->second.image.use_count() > 1 || !at->second.image->complete()) {
        return Error{ErrorCode::kConflict, fmt::format("image {}: in use", digest)};
    }
    victim = std::move(at->second.image);
    entries_.erase(at);
    return {};
}

void LocalHostTier::drop(const std::string& digest) {
    std::shared_ptr<HostImage> dropped;  // Destroyed outside of the lock, if nobody holds it.
    const std::lock_guard lock(mutex_);
    const auto at = entries_.find(digest);
    if (at != entries_.end() && at->second.image->complete()) {
        dropped = std::move(at->second.image);
        entries_.erase(at);
    }
}

void LocalHostTier::finish(std::shared_ptr<HostImage> image, const Result<RestoreTimes>& result) {
    std::vector<Done> waiting;
    {
        const std::lock_guard lock(mutex_);
        const auto at = entries_.find(image->digest());
        waiting = std::move(at->second.waiting);
        if (result) {
            image->set_complete(*result);
        } else {
            image->set_failed();
            entries_.erase(at);  // The next acquire starts afresh.
        }
    }
    image.reset();  // What is called now may evict it.
    for (const Done& done : waiting) {
        done(result);
    }
}

Result<void> check_options(const HostTierOptions& options) {
    if (options.extent_bytes == 0 || options.extent_bytes % kPageBytes != 0) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("host memory: extents of {} bytes must have whole pages",
                                 options.extent_bytes)};
    }
    if (options.queue_depth == 0 || options.queue_depth > kQueueDepthMax) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("host memory: a queue depth of {} must be 1 to {}",
                                 options.queue_depth, kQueueDepthMax)};
    }
    return {};
}

}  // namespace

Result<std::unique_ptr<HostTier>> HostTier::create(loader::ChunkStore& store, const Clock& clock,
                                                   HostTierOptions options) {
    auto checked = check_options(options);
    if (!checked) {
        return std::move(checked).error();
    }
    return create(store, clock, options, loader::make_read_backend(options.queue_depth));
}

Result<std::unique_ptr<HostTier>> HostTier::create(loader::ChunkStore& store, const Clock& clock,
                                                   HostTierOptions options,
                                                   std::unique_ptr<loader::ReadBackend> backend) {
    auto checked = check_options(options);
    if (!checked) {
        return std::move(checked).error();
    }
    auto tier = std::make_unique<LocalHostTier>(store, clock, options, std::move(backend));
    tier->start_loader();
    return std::unique_ptr<HostTier>(std::move(tier));
}

Result<SteppedTier> create_stepped_tier(loader::ChunkStore& store, const Clock& clock,
                                        HostTierOptions options,
                                        std::unique_ptr<loader::ReadBackend> backend) {
    auto checked = check_options(options);
    if (!checked) {
        return std::move(checked).error();
    }
    auto tier = std::make_unique<LocalHostTier>(store, clock, options, std::move(backend));
    Restorer& restorer = tier->restorer();
    return SteppedTier{.tier = std::move(tier), .restorer = restorer};
}

}  // namespace rekindle::snapshot
