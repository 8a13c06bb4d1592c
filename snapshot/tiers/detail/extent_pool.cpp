#include "snapshot/tiers/detail/extent_pool.h"

#include "base/log.h"
#include "base/units.h"
#include "snapshot/view/address_space.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>

namespace rekindle::snapshot {
namespace {

// One message carries at most 253 descriptors (SCM_MAX_FD), and a worker may be sent two images.
constexpr uint64_t kExtentsMax = 120;
constexpr uint64_t kHugePageBytes = 2 * kMiB;
// Of extents that are kept. The least one bounds what an image wastes at its end; few sizes let one
// image use what another one left.
constexpr std::array<uint64_t, 4> kSizes{kGiB, 64 * kMiB, 16 * kMiB, 4 * kMiB};
// An image has at least so many extents of its largest size, so that few sizes meet the needs of
// images that are alike.
constexpr uint64_t kLargestLeast = 4;
// And at most so many: 63 of 64 MiB, or these and fewer than 40 smaller ones.
constexpr uint64_t kLargestMost = 72;
// Below what serves: touching memory ahead of need is never urgent.
constexpr int kKeeperNice = 10;

// Its pages are allocated when they are first written.
Result<Extent> make_extent(uint64_t bytes) {
    auto fd = create_memory_file("rekindle-extent", bytes);
    if (!fd) {
        return std::move(fd).error();
    }
    auto space = reserve_address_space(bytes);
    if (!space) {
        return std::move(space).error();
    }
    void* const mapped =
        ::mmap(space->data(), bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd->get(), 0);
    if (mapped == MAP_FAILED) {
        return errno_error("map an extent", errno);
    }
    // Where the system allows huge pages on advice: 2.5 times the read rate, and a worker's first
    // touch costs a tenth. Elsewhere the advice is refused and nothing changes.
    ::madvise(mapped, bytes, MADV_HUGEPAGE);
    auto sealed = seal_memory_file(*fd);
    if (!sealed) {
        return std::move(sealed).error();
    }
    return Extent{.fd = std::move(fd).value(), .mapping = std::move(space).value(), .bytes = bytes};
}

void zero(const Extent& extent) {
    std::memset(extent.mapping.data(), 0, extent.bytes);
}

Result<void> touch(const Extent& extent) {
    if (::madvise(extent.mapping.data(), extent.bytes, MADV_POPULATE_WRITE) == 0) {
        return {};
    }
    if (errno != EINVAL) {  // A kernel before 5.14.
        return errno_error("touch memory ahead of need", errno);
    }
    zero(extent);
    return {};
}

std::optional<Extent> take_of_size(std::vector<Extent>& from, uint64_t bytes) {
    const auto at = std::ranges::find(from, bytes, &Extent::bytes);
    if (at == from.end()) {
        return std::nullopt;
    }
    Extent extent = std::move(*at);
    from.erase(at);
    return extent;
}

ptrdiff_t count_of(const std::vector<Extent>& extents, uint64_t bytes) {
    return std::ranges::count(extents, bytes, &Extent::bytes);
}

uint64_t total(const std::vector<Extent>& extents) noexcept {
    uint64_t bytes = 0;
    for (const Extent& extent : extents) {
        bytes += extent.bytes;
    }
    return bytes;
}

// The source keeps its (now empty) mapping: whoever owns that address space unmaps it, and no other
// thread's memory can have come to lie there.
Result<void> move_mapping(const std::byte* from, std::byte* to, uint64_t bytes) {
    void* const moved = ::mremap(const_cast<std::byte*>(from), bytes, bytes,
                                 MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to);
    if (moved == MAP_FAILED) {
        return errno_error("move an extent", errno);
    }
    return {};
}

}  // namespace

Result<void> seal_memory_file(const UniqueFd& fd) {
    constexpr int kSeals = F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
    if (::fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) {
        return errno_error("seal a memory file", errno);
    }
    return {};
}

Result<void> move_extent_in(Extent& extent, std::byte* place) {
    auto moved = move_mapping(extent.mapping.data(), place, extent.bytes);
    if (moved) {
        extent.mapping.reset();
    }
    return moved;
}

Result<void> move_extent_out(Extent& extent, const std::byte* place) {
    auto space = reserve_address_space(extent.bytes);
    if (!space) {
        return std::move(space).error();
    }
    auto moved = move_mapping(place, space->data(), extent.bytes);
    if (moved) {
        extent.mapping = std::move(space).value();
    }
    return moved;
}

ExtentPool::ExtentPool(Options options) : options_(options) {
    if (options_.kept_bytes > 0) {
        keeper_ = std::thread([this] { run_keeper(); });
    }
}

ExtentPool::~ExtentPool() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    changed_.notify_all();
    if (keeper_.joinable()) {
        keeper_.join();
    }
    REKINDLE_CHECK(held_ == 0, "an image is held beyond its pool");
}

std::vector<uint64_t> ExtentPool::sizes_for(uint64_t image_bytes) const {
    std::vector<uint64_t> sizes;
    if (options_.kept_bytes == 0) {
        const uint64_t least = (image_bytes + kExtentsMax - 1) / kExtentsMax;
        const uint64_t step =
            least > options_.extent_bytes ? align_up(least, kHugePageBytes) : options_.extent_bytes;
        for (uint64_t offset = 0; offset < image_bytes; offset += step) {
            sizes.push_back(std::min(step, image_bytes - offset));
        }
        return sizes;
    }
    uint64_t left = align_up(image_bytes, kSizes.back());
    const auto take_all_of = [&](uint64_t size) {
        for (; left >= size; left -= size) {
            sizes.push_back(size);
        }
    };
    uint64_t largest = kSizes.front();
    while (left / largest > kLargestMost) {
        largest *= 2;
    }
    for (; largest > kSizes.front(); largest /= 2) {
        take_all_of(largest);
    }
    for (const uint64_t size : kSizes) {
        if (!sizes.empty() || size == kSizes.back() || left >= kLargestLeast * size) {
            take_all_of(size);
        }
    }
    return sizes;
}

std::optional<ExtentPool::Share> ExtentPool::reserve(uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    wanted_ = bytes;
    if (bytes > options_.budget_bytes || held_ > options_.budget_bytes - bytes) {
        return std::nullopt;
    }
    held_ += bytes;
    return Share(*this, bytes);
}

void ExtentPool::give_up_reserving() {
    const std::lock_guard lock(mutex_);
    wanted_ = 0;
    ask_keeper();
}

void ExtentPool::release(uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    held_ -= bytes;
    ask_keeper();
}

void ExtentPool::ask_keeper() {
    ++asked_;
    changed_.notify_all();
}

Result<std::vector<Extent>> ExtentPool::take(std::span<const uint64_t> sizes) {
    Picked picked = pick(sizes);
    picked.dropped.clear();  // Before anything is made in their place.
    for (Extent& extent : picked.dirty) {
        zero(extent);
        picked.clean.push_back(std::move(extent));
    }
    std::vector<Extent> ordered;
    for (const uint64_t size : sizes) {
        if (auto kept = take_of_size(picked.clean, size)) {
            ordered.push_back(std::move(*kept));
            continue;
        }
        auto fresh = make_extent(size);
        if (!fresh) {
            give_back(std::move(ordered));
            give_back(std::move(picked.clean));
            return std::move(fresh).error();
        }
        ordered.push_back(std::move(fresh).value());
    }
    return ordered;
}

ExtentPool::Picked ExtentPool::pick(std::span<const uint64_t> sizes) {
    std::unique_lock lock(mutex_);
    // The keeper has one extent at most, for milliseconds.
    changed_.wait(lock, [&] {
        return working_ == 0 || std::ranges::all_of(sizes, [&](uint64_t size) {
                   return count_of(clean_, size) + count_of(dirty_, size) >=
                          std::ranges::count(sizes, size);
               });
    });
    Picked picked;
    for (const uint64_t size : sizes) {
        if (auto clean = take_of_size(clean_, size)) {
            picked.clean.push_back(std::move(*clean));
        } else if (auto dirty = take_of_size(dirty_, size)) {
            picked.dirty.push_back(std::move(*dirty));
        }
    }
    while (held_ + free_locked() > options_.budget_bytes) {
        auto superfluous = take_superfluous();
        if (auto extent = superfluous ? std::move(superfluous) : take_any()) {
            picked.dropped.push_back(std::move(*extent));
            continue;
        }
        REKINDLE_CHECK(working_ > 0, "what images hold fits the budget");
        changed_.wait(lock);
    }
    wanted_ = 0;
    ask_keeper();
    return picked;
}

void ExtentPool::give_back(std::vector<Extent> extents) {
    if (options_.kept_bytes == 0) {
        return;  // They end here.
    }
    const std::lock_guard lock(mutex_);
    std::ranges::move(extents, std::back_inserter(dirty_));
    ask_keeper();
}

void ExtentPool::prepare(uint64_t image_bytes) {
    const std::lock_guard lock(mutex_);
    if (options_.kept_bytes > 0) {
        ahead_ = sizes_for(image_bytes);
        ask_keeper();
    }
}

void ExtentPool::wait_until_idle() {
    std::unique_lock lock(mutex_);
    const uint64_t asked = asked_;
    changed_.wait(lock, [&] { return answered_ >= asked || options_.kept_bytes == 0; });
}

uint64_t ExtentPool::held_bytes() const {
    const std::lock_guard lock(mutex_);
    return held_;
}

uint64_t ExtentPool::free_bytes() const {
    const std::lock_guard lock(mutex_);
    return free_locked();
}

uint64_t ExtentPool::free_locked() const noexcept {
    return total(clean_) + total(dirty_) + working_;
}

uint64_t ExtentPool::kept_most() const noexcept {
    return std::max(options_.kept_bytes, wanted_);
}

std::optional<uint64_t> ExtentPool::missing_ahead() const {
    for (const uint64_t size : ahead_) {
        if (count_of(clean_, size) < std::ranges::count(ahead_, size)) {
            return size;
        }
    }
    return std::nullopt;
}

std::optional<Extent> ExtentPool::take_superfluous() {
    for (std::vector<Extent>* const from : {&dirty_, &clean_}) {
        for (const Extent& extent : *from) {
            const uint64_t size = extent.bytes;
            if (count_of(clean_, size) + count_of(dirty_, size) >
                std::ranges::count(ahead_, size)) {
                return take_of_size(*from, size);
            }
        }
    }
    return std::nullopt;
}

std::optional<Extent> ExtentPool::take_any() {
    std::vector<Extent>& from = dirty_.empty() ? clean_ : dirty_;
    return from.empty() ? std::nullopt : take_of_size(from, from.back().bytes);
}

void ExtentPool::run_keeper() {
    ::setpriority(PRIO_PROCESS, 0, kKeeperNice);  // Of this thread alone.
    std::unique_lock lock(mutex_);
    while (!stopping_) {
        if (keep_one(lock)) {
            continue;
        }
        answered_ = asked_;
        changed_.notify_all();
        changed_.wait(lock, [this] { return stopping_ || answered_ != asked_; });
    }
}

bool ExtentPool::keep_one(std::unique_lock<std::mutex>& lock) {
    return zero_one(lock) || drop_one(lock) || make_one(lock);
}

bool ExtentPool::zero_one(std::unique_lock<std::mutex>& lock) {
    if (dirty_.empty()) {
        return false;
    }
    Extent extent = std::move(dirty_.back());
    dirty_.pop_back();
    working_ += extent.bytes;
    lock.unlock();
    zero(extent);
    lock.lock();
    working_ -= extent.bytes;
    clean_.push_back(std::move(extent));
    changed_.notify_all();
    return true;
}

bool ExtentPool::drop_one(std::unique_lock<std::mutex>& lock) {
    const auto missing = missing_ahead();
    const bool over = free_locked() > kept_most();
    const bool in_the_way = missing && !failed_ && free_locked() + *missing > kept_most();
    if (!over && !in_the_way) {
        return false;
    }
    auto extent = take_superfluous();
    if (!extent && over) {
        extent = take_any();
    }
    if (!extent) {
        return false;
    }
    const uint64_t bytes = extent->bytes;
    working_ += bytes;
    lock.unlock();
    extent.reset();
    lock.lock();
    working_ -= bytes;
    changed_.notify_all();
    return true;
}

bool ExtentPool::make_one(std::unique_lock<std::mutex>& lock) {
    const auto missing = missing_ahead();
    if (!missing || failed_ || free_locked() + *missing > kept_most() ||
        held_ + free_locked() + *missing > options_.budget_bytes) {
        return false;
    }
    working_ += *missing;
    lock.unlock();
    auto made = make_extent(*missing);
    const Result<void> touched = made ? touch(*made) : Result<void>(made.error());
    lock.lock();
    working_ -= *missing;
    if (touched) {
        clean_.push_back(std::move(made).value());
    } else {
        failed_ = true;
        log_warning("memory_not_made_ahead", {{"reason", touched.error().message}});
    }
    changed_.notify_all();
    return true;
}

}  // namespace rekindle::snapshot
