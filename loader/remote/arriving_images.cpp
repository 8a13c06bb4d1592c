#include "loader/remote/arriving_images.h"

#include "base/log.h"
#include "base/units.h"
#include "loader/remote/detail/arrival.h"
#include "loader/remote/detail/arrival_files.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>

namespace rekindle::remote {
namespace {

// Arrived bytes between two commits: what a crash can cost, against a sync each.
constexpr uint64_t kCommitBytes = 64 * kMiB;

class LocalArrivals;

// One image. Shared by the table, the threads that fetch and whoever waits for chunks.
struct Item final : loader::ArrivingImage {
    Item(LocalArrivals& owner_, ArrivalRecord record_, std::vector<loader::ImageChunk> chunks)
        : owner(owner_), record(std::move(record_)), arrival(std::move(chunks)) {}

    const std::string& index_json() const noexcept override { return record.index_json; }

    void want(const std::vector<loader::ImageChunk>& chunks, OnChunk on_chunk) override;

    LocalArrivals& owner;
    const ArrivalRecord record;
    std::weak_ptr<Item> self;
    std::atomic<bool> forgotten{false};
    // Guarded by the owner's mutex.
    Arrival arrival;
    Nanoseconds paused_until{};
    std::chrono::milliseconds pause{0};
    bool finishing = false;
    std::string problem;
};

using ItemPtr = std::shared_ptr<Item>;

// Of one thread: connections to the place that it fetched from last.
struct Hands {
    ItemPtr item;
    std::unique_ptr<Objects> objects;
};

class LocalArrivals final : public ArrivingImages {
public:
    explicit LocalArrivals(Options options) : options_(std::move(options)) {}

    ~LocalArrivals() override { stop(); }

    void take_up();
    Result<void> add(const RemoteImage& image, const std::string& address) override;
    bool forget(const std::string& digest) override;
    std::optional<ArrivalProgress> progress(const std::string& digest) const override;
    std::shared_ptr<loader::ArrivingImage> find(const std::string& digest) override;
    void stop() override;

    void want(Item& item, const std::vector<loader::ImageChunk>& chunks,
              const Arrival::OnChunk& on_chunk);

private:
    struct Work {
        ItemPtr item;
        size_t chunk = 0;
        bool here = false;  // Perhaps not committed.
    };

    Result<ItemPtr> make_item(ArrivalRecord record);
    void begin(const ItemPtr& item);
    void run();
    // The following expect mutex_.
    std::optional<Work> pick();
    std::optional<Nanoseconds> until_next() const;
    void pause(Item& item, const Error& error);

    // On a thread that fetches, without mutex_.
    void handle(Hands& hands, const Work& work);
    Result<std::vector<std::byte>> fetch(Hands& hands, const Work& work);
    void hand_over(const Work& work, std::span<const std::byte> bytes);
    void keep(const Work& work, std::span<const std::byte> bytes);
    void fail(const Work& work, const Error& error);
    void finish(const ItemPtr& item);
    void commit_now();

    const Options options_;
    mutable std::mutex mutex_;
    std::condition_variable wake_;
    std::unordered_map<std::string, ItemPtr> items_;  // By digest: not wholly in the store.
    std::vector<ItemPtr> active_;                     // Those, and others that are waited for.
    uint64_t uncommitted_ = 0;
    std::atomic<bool> stopping_{false};
    std::vector<std::jthread> threads_;
};

void Item::want(const std::vector<loader::ImageChunk>& chunks, OnChunk on_chunk) {
    owner.want(*this, chunks, on_chunk);
}

void LocalArrivals::take_up() {
    for (ArrivalRecord& record : read_arrivals(options_.folder)) {
        auto item = make_item(std::move(record));
        if (item) {
            begin(*item);
        } else {
            log_warning("arrival_not_taken_up", {{"reason", item.error().message}});
        }
    }
}

Result<ItemPtr> LocalArrivals::make_item(ArrivalRecord record) {
    auto index = loader::ImageIndex::parse(record.index_json);
    if (!index) {
        return std::move(index).error().with_context("image sha256:" + record.digest);
    }
    auto item = std::make_shared<Item>(*this, std::move(record), different_chunks(*index));
    item->self = item;
    const auto& chunks = item->arrival.chunks();
    for (size_t i = 0; i < chunks.size(); ++i) {
        item->arrival.set_here(i, options_.store.locate(chunks[i].id).ok());
    }
    return item;
}

Result<void> LocalArrivals::add(const RemoteImage& image, const std::string& address) {
    if (options_.store.image_index(image.digest)) {
        return {};
    }
    ArrivalRecord record{.digest = image.digest, .remote = address, .index_json = image.index_json};
    auto written = write_arrival(options_.folder, record);
    if (!written) {
        return written;
    }
    auto item = make_item(std::move(record));
    if (!item) {
        return std::move(item).error();
    }
    begin(*item);
    return {};
}

void LocalArrivals::begin(const ItemPtr& item) {
    options_.store.keep(item->arrival.chunks());
    const std::lock_guard lock(mutex_);
    ItemPtr& place = items_[item->record.digest];
    if (place != nullptr) {
        // Who waits for the one that it replaces is still served, from where that came from.
        options_.store.let_go(place->arrival.chunks());
    }
    place = item;
    active_.push_back(item);
    while (!stopping_ && threads_.size() < options_.context.settings.connections) {
        threads_.emplace_back([this] { run(); });
    }
    wake_.notify_all();
}

bool LocalArrivals::forget(const std::string& digest) {
    ItemPtr item;
    std::vector<Arrival::Waiter> waiters;
    {
        const std::lock_guard lock(mutex_);
        const auto at = items_.find(digest);
        if (at == items_.end()) {
            return false;
        }
        item = std::move(at->second);
        items_.erase(at);
        item->forgotten = true;
        waiters = item->arrival.take_all_waiters(0);
    }
    remove_arrival(options_.folder, digest);
    options_.store.let_go(item->arrival.chunks());
    for (const Arrival::Waiter& waiter : waiters) {
        waiter.on_chunk(item->arrival.chunks()[waiter.chunk],
                        Error{ErrorCode::kCancelled, "the image is no longer wanted"});
    }
    return true;
}

std::optional<ArrivalProgress> LocalArrivals::progress(const std::string& digest) const {
    const std::lock_guard lock(mutex_);
    const auto at = items_.find(digest);
    if (at == items_.end()) {
        return std::nullopt;
    }
    const Item& item = *at->second;
    return ArrivalProgress{.bytes_here = item.arrival.bytes_here(),
                           .bytes = item.arrival.bytes(),
                           .remote = item.record.remote.substr(0, item.record.remote.find('?')),
                           .problem = item.problem};
}

std::shared_ptr<loader::ArrivingImage> LocalArrivals::find(const std::string& digest) {
    const std::lock_guard lock(mutex_);
    const auto at = items_.find(digest);
    return at == items_.end() ? nullptr : at->second;
}

void LocalArrivals::want(Item& item, const std::vector<loader::ImageChunk>& chunks,
                         const Arrival::OnChunk& on_chunk) {
    const std::unique_lock lock(mutex_);
    item.arrival.want(chunks, on_chunk);
    if (std::ranges::find(active_, &item, &ItemPtr::get) == active_.end()) {
        active_.push_back(item.self.lock());
    }
    wake_.notify_all();
}

void LocalArrivals::stop() {
    stopping_ = true;
    {
        const std::lock_guard lock(mutex_);  // So that no thread is about to wait.
        wake_.notify_all();
    }
    threads_.clear();  // Joins them.
    commit_now();
    std::vector<ItemPtr> active;
    {
        const std::lock_guard lock(mutex_);
        active = std::exchange(active_, {});
    }
    for (const ItemPtr& item : active) {
        for (const Arrival::Waiter& waiter : item->arrival.take_all_waiters(0)) {
            waiter.on_chunk(item->arrival.chunks()[waiter.chunk],
                            Error{ErrorCode::kCancelled, "this node is shutting down"});
        }
    }
}

void LocalArrivals::run() {
    Hands hands;
    std::unique_lock lock(mutex_);
    while (!stopping_) {
        const auto work = pick();
        if (work) {
            lock.unlock();
            handle(hands, *work);
            lock.lock();
            continue;
        }
        hands = Hands{};
        if (uncommitted_ > 0) {
            lock.unlock();
            commit_now();
            lock.lock();
        } else if (const auto pause = until_next()) {
            wake_.wait_for(lock, *pause);
        } else {
            wake_.wait(lock);
        }
    }
}

std::optional<LocalArrivals::Work> LocalArrivals::pick() {
    std::erase_if(active_, [](const ItemPtr& item) {
        return !item->arrival.wanted() && (item->forgotten || item->arrival.complete()) &&
               !item->finishing;
    });
    for (const ItemPtr& item : active_) {
        if (const auto chunk = item->arrival.take_wanted()) {
            return Work{.item = item, .chunk = *chunk, .here = item->arrival.here(*chunk)};
        }
    }
    for (const ItemPtr& item : active_) {
        if (item->forgotten || item->paused_until > options_.context.clock.monotonic()) {
            continue;
        }
        if (const auto chunk = item->arrival.take_missing()) {
            return Work{.item = item, .chunk = *chunk};
        }
    }
    return std::nullopt;
}

std::optional<Nanoseconds> LocalArrivals::until_next() const {
    std::optional<Nanoseconds> next;
    const Nanoseconds now = options_.context.clock.monotonic();
    for (const ItemPtr& item : active_) {
        if (item->paused_until > now) {
            next = std::min(next.value_or(Nanoseconds::max()), item->paused_until - now);
        }
    }
    return next;
}

void LocalArrivals::handle(Hands& hands, const Work& work) {
    if (work.here) {
        commit_now();  // Nobody can read it before.
    }
    const auto stored = options_.store.read(work.item->arrival.chunks()[work.chunk].id);
    if (stored) {
        hand_over(work, stored->span());
        const std::lock_guard lock(mutex_);
        work.item->arrival.put_back(work.chunk, /*here=*/true);
    } else {
        const auto fetched = fetch(hands, work);
        if (!fetched) {
            fail(work, fetched.error());
            return;
        }
        hand_over(work, *fetched);  // First: somebody waits for it.
        keep(work, *fetched);
    }
    finish(work.item);
}

Result<std::vector<std::byte>> LocalArrivals::fetch(Hands& hands, const Work& work) {
    if (hands.item != work.item || hands.objects == nullptr) {
        hands.item = work.item;
        auto opened = Objects::open(
            {.address = work.item->record.remote,
             .context = options_.context,
             .cancelled = [this, item = work.item] { return stopping_ || item->forgotten; }});
        if (!opened) {
            return std::move(opened).error();
        }
        hands.objects = std::move(opened).value();
    }
    uint64_t wire_bytes = 0;
    return fetch_chunk(*hands.objects, work.item->arrival.chunks()[work.chunk], wire_bytes);
}

void LocalArrivals::hand_over(const Work& work, std::span<const std::byte> bytes) {
    std::vector<Arrival::OnChunk> waiters;
    {
        const std::lock_guard lock(mutex_);
        waiters = work.item->arrival.take_waiters(work.chunk);
    }
    for (const Arrival::OnChunk& on_chunk : waiters) {
        on_chunk(work.item->arrival.chunks()[work.chunk], bytes);
    }
}

void LocalArrivals::keep(const Work& work, std::span<const std::byte> bytes) {
    const loader::ImageChunk& chunk = work.item->arrival.chunks()[work.chunk];
    auto put = options_.store.put(bytes, chunk.codec == loader::ChunkCodec::kZstd);
    bool commit = false;
    {
        const std::lock_guard lock(mutex_);
        work.item->arrival.put_back(work.chunk, put.ok());
        if (put) {
            uncommitted_ += chunk.bytes;
            commit = uncommitted_ >= kCommitBytes;
            work.item->pause = {};
            work.item->problem.clear();
        } else {
            pause(*work.item, put.error());
        }
    }
    if (commit) {
        commit_now();
    }
}

void LocalArrivals::commit_now() {
    {
        const std::lock_guard lock(mutex_);
        if (std::exchange(uncommitted_, 0) == 0) {
            return;
        }
    }
    const auto committed = options_.store.commit();
    if (!committed) {  // Found out again when the image is complete.
        log_warning("arrivals_not_committed", {{"reason", committed.error().message}});
    }
}

void LocalArrivals::pause(Item& item, const Error& error) {
    item.pause = std::clamp(2 * item.pause, options_.pauses.first, options_.pauses.longest);
    item.paused_until = options_.context.clock.monotonic() + item.pause;
    item.problem = error.message;
    if (!stopping_ && !item.forgotten) {
        log_warning("arrival_paused", {{"image", item.record.digest},
                                       {"pause_ms", static_cast<uint64_t>(item.pause.count())},
                                       {"reason", error.message}});
    }
}

void LocalArrivals::fail(const Work& work, const Error& error) {
    std::vector<Arrival::Waiter> waiters;
    {
        const std::lock_guard lock(mutex_);
        work.item->arrival.put_back(work.chunk, /*here=*/false);
        if (stopping_) {
            return;  // stop() tells them.
        }
        pause(*work.item, error);
        waiters = work.item->arrival.take_all_waiters(work.chunk);
    }
    for (const Arrival::Waiter& waiter : waiters) {
        waiter.on_chunk(work.item->arrival.chunks()[waiter.chunk], error);
    }
}

void LocalArrivals::finish(const ItemPtr& item) {
    {
        const std::lock_guard lock(mutex_);
        const auto at = items_.find(item->record.digest);
        if (!item->arrival.complete() || item->finishing || at == items_.end() ||
            at->second != item) {
            return;
        }
        item->finishing = true;
    }
    const auto added = options_.store.add_image(item->record.digest, item->record.index_json);
    const std::lock_guard lock(mutex_);
    item->finishing = false;
    if (!added) {
        // Chunks that a deployment dropped when it failed, or a disk that is full.
        const auto& chunks = item->arrival.chunks();
        for (size_t i = 0; i < chunks.size(); ++i) {
            item->arrival.set_here(i, options_.store.locate(chunks[i].id).ok());
        }
        pause(*item, added.error());
        return;
    }
    const auto at = items_.find(item->record.digest);
    if (at == items_.end() || at->second != item) {
        return;  // Forgotten meanwhile.
    }
    items_.erase(at);
    options_.store.let_go(item->arrival.chunks());
    remove_arrival(options_.folder, item->record.digest);
    log_info("image_arrived", {{"image", item->record.digest}, {"bytes", item->arrival.bytes()}});
}

}  // namespace

std::unique_ptr<ArrivingImages> ArrivingImages::open(Options options) {
    auto arrivals = std::make_unique<LocalArrivals>(std::move(options));
    arrivals->take_up();
    return arrivals;
}

}  // namespace rekindle::remote
