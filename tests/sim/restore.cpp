#include "tests/sim/restore.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

namespace rekindle::sim {

using std::chrono::microseconds;
using std::chrono::milliseconds;

bool RestoreDisk::any_due() const noexcept {
    return std::ranges::any_of(
        flying_, [this](const auto& entry) { return entry.second.due <= world_.now(); });
}

void RestoreDisk::start(const loader::RawRead& read) {
    const bool slow = world_.now() < faults_.slow_until;
    const Nanoseconds takes = slow ? world_.draws.time(milliseconds(20), milliseconds(400))
                                   : world_.draws.time(microseconds(80), milliseconds(3));
    Flying flying{.read = read, .due = world_.now() + takes, .fault = {}};
    const size_t image = ImageStore::image_of(read.fd);
    if (const auto fault = faults_.next.find(image); fault != faults_.next.end()) {
        flying.fault = fault->second;
        faults_.next.erase(fault);
        world_.fault("read");
    }
    flying_.emplace(++order_, flying);
    world_.after_in_daemon(takes, [this] { on_due_(); });
}

loader::RawDone RestoreDisk::wait() {
    const auto earlier = [](const auto& a, const auto& b) { return a.second.due < b.second.due; };
    const auto first = std::ranges::min_element(flying_, earlier);
    const Flying flying = first->second;
    flying_.erase(first);
    const loader::RawRead& read = flying.read;
    const auto file = store_.file(read.fd);
    size_t count =
        std::min<size_t>(read.out.size(), file.size() - std::min<size_t>(read.offset, file.size()));
    const auto fails = [&] { faults_.failed_at = world_.now(); };
    if (flying.fault == ReadFault::kError) {
        fails();
        return {.tag = read.tag, .result = -EIO};
    }
    if (flying.fault == ReadFault::kAgain) {
        return {.tag = read.tag, .result = world_.draws.chance(0.5) ? -EAGAIN : -EINTR};
    }
    if (flying.fault == ReadFault::kShort) {
        count = world_.draws.between(1, count);
    }
    std::memcpy(read.out.data(), file.data() + read.offset, count);
    // Files end with zeros up to a whole page.
    if (count < read.out.size() && flying.fault != ReadFault::kShort) {
        std::memset(read.out.data() + count, 0, read.out.size() - count);
        count = read.out.size();
    }
    if (flying.fault == ReadFault::kFlip) {
        read.out[world_.draws.below(std::min(count, file.size() - read.offset))] ^= std::byte{4};
        fails();
    }
    return {.tag = read.tag, .result = static_cast<int64_t>(count)};
}

DrivenTier::DrivenTier(World& world, ImageStore& store, ReadFaults& faults,
                       snapshot::HostTierOptions options, std::function<void()> on_progress)
    : world_(world), on_progress_(std::move(on_progress)) {
    auto disk = std::make_unique<RestoreDisk>(world, store, faults);
    disk_ = disk.get();
    disk_->on_due([this] {
        if (disk_->any_due() && !world_.points.hit(Point::kRestoreRead)) {
            stepped_->restorer.finish_read();
            turn();
        }
    });
    stepped_.emplace(
        snapshot::create_stepped_tier(store, world.clock, options, std::move(disk)).value());
    inner_ = stepped_->tier.get();
}

DrivenTier::~DrivenTier() = default;

Result<std::shared_ptr<snapshot::ResidentImage>> DrivenTier::acquire(const std::string& digest,
                                                                     Done done) {
    if (world_.points.hit(Point::kRestoreAcquired)) {
        return Error{ErrorCode::kUnavailable, "the daemon is dead"};
    }
    auto image = inner_->acquire(
        digest, [&world = world_, done = std::move(done)](Result<snapshot::RestoreTimes> times) {
            if (!world.points.hit(Point::kRestoreDone)) {
                world.trace("restored {}", times ? "whole" : times.error().message);
                done(std::move(times));
            }
        });
    turn();
    return image;
}

void DrivenTier::turn() {
    // A restore may fail before any of its reads starts.
    while (stepped_->restorer.start_reads() && !disk_->any_in_flight()) {
        stepped_->restorer.finish_read();
    }
    on_progress_();
}

}  // namespace rekindle::sim
