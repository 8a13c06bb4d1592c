// A store in a temporary folder and a host tier over it, with a backend that misbehaves as told.
#pragma once
#include "base/units.h"
#include "snapshot/tiers/host_tier.h"
#include "snapshot/view/image_view.h"
#include "tests/loader/faulty_backend.h"
#include "tests/loader/temp_store.h"

#include <algorithm>
#include <future>
#include <memory>
#include <string>
#include <utility>

namespace rekindle::test {

inline constexpr uint64_t kLatchFileBytes = kPageBytes;  // Of every image with up to 1,024 chunks.

// A restore whose end can be waited for.
struct Restore {
    std::shared_ptr<snapshot::ResidentImage> image;  // nullptr: acquire failed with `result`.
    std::future<Result<snapshot::RestoreTimes>> result;
};

class TierFixture {
public:
    TierFixture() : store(open_store(folder.path())) {}

    void create_tier(snapshot::HostTierOptions options) {
        tier = snapshot::HostTier::create(*store, clock, options).value();
    }

    void create_tier(snapshot::HostTierOptions options, FaultyBackend::Plan plan) {
        tier = snapshot::HostTier::create(
                   *store, clock, options,
                   std::make_unique<FaultyBackend>(options.queue_depth, std::move(plan)))
                   .value();
    }

    Restore start(const std::string& digest) {
        auto promise = std::make_shared<std::promise<Result<snapshot::RestoreTimes>>>();
        Restore restore{.image = nullptr, .result = promise->get_future()};
        auto acquired = tier->acquire(digest, [promise](Result<snapshot::RestoreTimes> times) {
            promise->set_value(std::move(times));
        });
        if (acquired) {
            restore.image = std::move(acquired).value();
        } else {
            promise->set_value(std::move(acquired).error());
        }
        return restore;
    }

    static snapshot::ImageView view(const snapshot::ResidentImage& image) {
        auto shared = image.descriptors().value();
        std::vector<snapshot::ExtentFile> extents;
        for (size_t i = 0; i < shared.extents.size(); ++i) {
            extents.push_back(
                {.fd = std::move(shared.extents[i]), .bytes = shared.extent_bytes[i]});
        }
        return snapshot::ImageView::open(image.index_json(), std::move(extents),
                                         std::move(shared.latches))
            .value();
    }

    TempFolder folder;
    SystemClock clock;
    std::unique_ptr<loader::ChunkStore> store;
    std::unique_ptr<snapshot::HostTier> tier;
};

// What a view gives is the image's bytes, chunk by chunk, or an error: never anything else. Returns
// how many chunks were given.
inline size_t right_chunks(const snapshot::ImageView& view, const TestImage& image) {
    size_t right = 0;
    for (const loader::ImageChunk& chunk : image.chunks) {
        const auto bytes = view.wait(chunk.offset, chunk.bytes);
        if (!bytes) {
            continue;
        }
        const auto wanted = std::span(image.bytes).subspan(chunk.offset, chunk.bytes);
        REKINDLE_CHECK(std::ranges::equal(*bytes, wanted), "no wrong byte ever becomes ready");
        ++right;
    }
    return right;
}

}  // namespace rekindle::test
