// Space given back and bytes checked: the part of the node that looks after the chunk store.
#include "base/log.h"
#include "base/units.h"
#include "daemon/node_impl.h"
#include "loader/image_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <utility>

namespace rekindle::daemon {
namespace {

// A step is long enough that the pause after it is worth a timer, and short enough that a client
// that leaves, and a restore that wants the disk, do not wait for it.
constexpr uint64_t kStepBytes = 16 * kMiB;
constexpr size_t kFaultsMax = 100;  // Then a disk is broken, and the rest says nothing new.

struct CheckedChunk {
    loader::ChunkId id;
    uint64_t bytes = 0;
    size_t image = 0;  // The first one that has it.
    uint64_t number = 0;
};

struct CheckedImage {
    std::string digest;
    std::vector<std::string> models;
};

// What is to be read, each chunk once. Used by one compute thread at a time.
struct VerifyJob {
    const Clock& clock;
    loader::ChunkStore& store;
    std::vector<CheckedImage> images;
    std::vector<CheckedChunk> chunks;
    size_t next = 0;
    uint64_t total = 0;
    uint64_t done = 0;
    std::vector<VerifyFault> faults;

    Result<void> plan() {
        std::set<loader::ChunkId> seen;
        for (size_t image = 0; image < images.size(); ++image) {
            const auto text = store.image_index(images[image].digest);
            const auto index = text ? loader::ImageIndex::parse(*text) : text.error();
            if (!index) {
                return index.error().with_context("image " + images[image].digest);
            }
            for (uint64_t number = 0; number < index->chunks.size(); ++number) {
                const loader::ImageChunk& chunk = index->chunks[number];
                if (seen.insert(chunk.id).second) {
                    chunks.push_back({chunk.id, chunk.bytes, image, number});
                    total += chunk.bytes;
                }
            }
        }
        return {};
    }

    // Reads a few chunks; how long that took.
    Nanoseconds step(uint32_t share_percent) {
        const Nanoseconds start = clock.monotonic();
        // The smaller the share, the longer the rest: shorter steps keep it within seconds.
        const uint64_t until = done + kStepBytes * share_percent / kVerifySharePercentMax;
        while (next < chunks.size() && done < until) {
            const CheckedChunk& chunk = chunks[next++];
            const auto read = store.read(chunk.id);
            done += chunk.bytes;
            if (!read && read.error().code != ErrorCode::kNotFound) {
                note(chunk, read.error());
            }
        }
        return clock.monotonic() - start;
    }

    bool finished() const noexcept { return next == chunks.size() || faults.size() == kFaultsMax; }

private:
    // One that is not there any more belonged to an image that was removed meanwhile.
    void note(const CheckedChunk& chunk, const Error& error) {
        const CheckedImage& image = images[chunk.image];
        store.quarantine(chunk.id);
        log_error("chunk_damaged", {{"image", image.digest}, {"reason", error.message}});
        if (faults.size() < kFaultsMax) {
            faults.push_back({image.digest, image.models, chunk.number, error.message});
        }
    }
};

}  // namespace

class NodeImpl::Verification final : public VerifyStream {
public:
    Verification(NodeImpl& node, std::shared_ptr<VerifyJob> job, uint32_t share_percent)
        : node_(node), job_(std::move(job)), share_(share_percent), pause_(node.services_.context) {
        node_.verifying_ = true;
    }

    Verification(const Verification&) = delete;
    Verification& operator=(const Verification&) = delete;

    ~Verification() override { node_.verifying_ = false; }

    Task<Result<Event>> next() override {
        if (node_.draining_) {
            co_return Error{ErrorCode::kUnavailable, "this node is shutting down"};
        }
        if (job_->finished()) {
            co_return report();
        }
        if (rest_ > Nanoseconds(0)) {
            pause_.expires_after(rest_);
            auto waited = co_await pause_.async_wait(kAsTuple);
            static_cast<void>(waited);
        }
        auto work = [job = job_, share = share_]() -> Result<Nanoseconds> {
            return job->step(share);
        };
        auto reading = offload(node_.compute_, std::move(work));
        const auto took = co_await std::move(reading);
        if (!took) {
            co_return took.error();
        }
        constexpr uint32_t kWhole = kVerifySharePercentMax;
        rest_ = *took * (kWhole - share_) / share_;
        co_return Event(VerifyProgress{job_->done, job_->total});
    }

private:
    Event report() {
        return VerifyReport{.images = job_->images.size(),
                            .chunks = job_->next,
                            .bytes = job_->done,
                            .faults = std::move(job_->faults)};
    }

    NodeImpl& node_;
    const std::shared_ptr<VerifyJob> job_;
    const uint32_t share_;
    asio::steady_timer pause_;
    Nanoseconds rest_{};  // Before the next step.
};

std::vector<std::string> NodeImpl::models_of(const std::string& image) const {
    std::vector<std::string> models;
    for (const DeploymentEntry& entry : catalog_.entries()) {
        const bool earlier = std::ranges::any_of(
            entry.history, [&image](const auto& record) { return record.names_image(image); });
        if (entry.current.names_image(image) || earlier) {
            models.push_back(entry.current.name);
        }
    }
    return models;
}

Task<Result<std::unique_ptr<VerifyStream>>> NodeImpl::verify(VerifySpec spec) {
    if (verifying_) {
        co_return Error{ErrorCode::kConflict,
                        "another check of the chunks is running: wait for its end"};
    }
    auto job =
        std::make_shared<VerifyJob>(VerifyJob{.clock = services_.clock, .store = services_.store});
    if (!spec.model.empty()) {
        const auto info = deployment(spec.model);
        if (!info) {
            co_return info.error();
        }
        job->images.push_back({info->image, models_of(info->image)});
    } else {
        const auto images = services_.store.images();
        if (!images) {
            co_return images.error();
        }
        for (const std::string& image : *images) {
            job->images.push_back({image, models_of(image)});
        }
    }
    std::unique_ptr<VerifyStream> stream =
        std::make_unique<Verification>(*this, job, spec.share_percent);
    auto work = [job] { return job->plan(); };
    auto planning = offload(compute_, std::move(work));
    const auto planned = co_await std::move(planning);
    if (!planned) {
        co_return planned.error();
    }
    co_return stream;
}

std::vector<std::string> NodeImpl::unnamed_images(const std::vector<std::string>& images) const {
    std::vector<std::string> unnamed;
    for (const std::string& image : images) {
        if (!catalog_.uses_image(image) && !retiring_.contains(image)) {
            unnamed.push_back(image);
        }
    }
    return unnamed;
}

Task<Result<GcReport>> NodeImpl::gc(GcSpec spec) {
    const auto begun = co_await begin_change();  // No deployment stores chunks meanwhile.
    if (!begun) {
        co_return begun.error();
    }
    const auto images = services_.store.images();
    if (!images) {
        end_change();
        co_return images.error();
    }
    const bool dry_run = spec.dry_run;
    GcReport report{.dry_run = dry_run, .images = unnamed_images(*images), .kept = {}};
    if (!spec.pulled) {
        const auto now = std::chrono::duration_cast<std::chrono::seconds>(services_.clock.wall());
        for (const std::string& image : report.images) {
            if (pulled_.kept(image, now)) {
                report.kept.push_back(image);
            }
        }
        std::erase_if(report.images,
                      [&](const std::string& image) { return pulled_.kept(image, now); });
    }
    uint64_t retained = 0;  // Of revisions that are not served any more.
    if (retained_disk_ != nullptr) {
        retained = retained_disk_->garbage_bytes(revisions());
        if (!dry_run) {
            retained_disk_->drop_all_but(revisions());
        }
    }
    auto work = [&store = services_.store, &tier = services_.tier, dry_run,
                 images = report.images]() -> Result<uint64_t> {
        if (dry_run) {
            const auto garbage = store.garbage(images);
            return garbage ? Result<uint64_t>(garbage->bytes) : garbage.error();
        }
        for (const std::string& image : images) {
            const auto evicted = tier.evict(image);
            static_cast<void>(evicted);  // Not resident.
            const auto removed = store.remove_image(image);
            if (!removed) {
                return removed.error();
            }
        }
        return store.collect();
    };
    auto collecting = offload(compute_, std::move(work));
    const auto freed = co_await std::move(collecting);
    end_change();
    if (!freed) {
        co_return freed.error();
    }
    report.bytes_freed = *freed + retained;
    report.bytes_kept = services_.store.stored_bytes() - (dry_run ? *freed : 0);
    if (!dry_run) {
        for (const std::string& image : report.images) {
            forget_marks(image);
        }
        log_info("collected", {{"images", report.images.size()}, {"bytes_freed", *freed}});
    }
    co_return report;
}

}  // namespace rekindle::daemon
