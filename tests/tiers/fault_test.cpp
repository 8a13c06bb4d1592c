// Disks that lie, fail and lose: whatever happens, no wrong byte becomes ready, waiters are woken
// with the reason, and the next request starts afresh.
#include "base/random.h"
#include "tests/tiers/tier_fixture.h"

#include <doctest/doctest.h>

#include <atomic>
#include <cerrno>
#include <filesystem>

using namespace rekindle;            // NOLINT(google-build-using-namespace): a test.
using namespace rekindle::snapshot;  // NOLINT(google-build-using-namespace): a test.
using test::deploy_image;
using test::Fault;
using test::ImageShape;
using test::right_chunks;
using test::TierFixture;

namespace {

constexpr HostTierOptions kOptions{
    .budget_bytes = 64 * kMiB, .extent_bytes = 1 * kMiB, .queue_depth = 4};
const ImageShape kShape{.chunk_bytes = {768 * kKiB, 2 * kMiB + 4096, 4 * kMiB, 4096, 1 * kMiB},
                        .compress_first = true};

// Waits for the end of a restore that must fail, and looks at what it left.
Error failure(test::Restore& restore, const test::TestImage& image) {
    REQUIRE(restore.image != nullptr);
    const ImageView view = TierFixture::view(*restore.image);
    const size_t right = right_chunks(view, image);  // Returns: every latch was set.
    CHECK(right < image.chunks.size());
    auto result = restore.result.get();
    REQUIRE_FALSE(result.ok());
    CHECK(restore.image->failed());
    CHECK_FALSE(restore.image->complete());
    CHECK(result.error().message.starts_with("image " + image.digest));
    CHECK(result.error().message.ends_with("run `rekindle deploy` again"));
    return std::move(result).error();
}

}  // namespace

TEST_CASE("a bit that flipped on disk fails its image, and deploying again repairs it") {
    TierFixture fixture;
    const auto image = deploy_image(*fixture.store, kShape, 1);
    for (size_t damaged = 0; damaged < kShape.chunk_bytes.size(); ++damaged) {
        const auto& chunk = image.chunks[damaged];
        test::flip_stored_bit(fixture.folder.path(), fixture.store->locate(chunk.id).value());
        fixture.create_tier(kOptions);
        auto restore = fixture.start(image.digest);
        const Error error = failure(restore, image);
        CHECK(error.code == ErrorCode::kCorrupt);
        CHECK(error.message.find(chunk.id.hex()) != std::string::npos);
        CHECK_FALSE(fixture.tier->resident(image.digest));
        restore.image.reset();
        CHECK(fixture.tier->resident_bytes() == 0);

        deploy_image(*fixture.store, kShape, 1);
        auto again = fixture.start(image.digest);
        CHECK(again.result.get().ok());
        CHECK(right_chunks(TierFixture::view(*again.image), image) == image.chunks.size());
        again.image.reset();
        fixture.tier.reset();
    }
}

TEST_CASE("a bit that flips on the way is noticed, wherever it is") {
    TierFixture fixture;
    HostTierOptions options = kOptions;
    SUBCASE("straight into the image") {}
    SUBCASE("through buffers") {
        options.through_buffers = true;
    }
    const auto image = deploy_image(*fixture.store, kShape, 1);
    for (uint64_t seed = 0; seed < 24; ++seed) {
        // The image is read in 10 pieces.
        const uint64_t victim = counter_random(1, seed, 0) % 10;
        fixture.create_tier(options, [&](uint64_t number, const loader::RawRead& read) {
            const uint64_t bit = counter_random(1, seed, 1) % (read.out.size() * 8);
            return number == victim ? Fault{Fault::Kind::kFlipBit, static_cast<int64_t>(bit)}
                                    : Fault{};
        });
        auto restore = fixture.start(image.digest);
        const ImageView view = TierFixture::view(*restore.image);
        const size_t right = right_chunks(view, image);
        // A flip in the zeros behind a compressed chunk harms nothing.
        CHECK(restore.result.get().ok() == (right == image.chunks.size()));
        restore.image.reset();
        fixture.tier.reset();
    }
}

TEST_CASE("EIO fails the restore, and the next one starts afresh") {
    TierFixture fixture;
    const auto image = deploy_image(*fixture.store, kShape, 1);
    fixture.create_tier(kOptions, [](uint64_t number, const loader::RawRead&) {
        return number == 5 ? Fault{Fault::Kind::kError, EIO} : Fault{};
    });
    auto restore = fixture.start(image.digest);
    const Error error = failure(restore, image);
    CHECK(error.code == ErrorCode::kIo);
    CHECK(error.message.find("Input/output error") != std::string::npos);
    auto again = fixture.start(image.digest);
    CHECK(again.image != restore.image);
    CHECK(again.result.get().ok());
}

TEST_CASE("short reads, EINTR and EAGAIN cost time, not bytes") {
    TierFixture fixture;
    const auto image = deploy_image(*fixture.store, kShape, 1);
    fixture.create_tier(kOptions, [](uint64_t number, const loader::RawRead& read) {
        switch (number % 4) {
            case 0:
                return Fault{Fault::Kind::kError, EINTR};
            case 1:
                return Fault{Fault::Kind::kError, EAGAIN};
            case 2:
                return Fault{Fault::Kind::kShort,
                             static_cast<int64_t>(std::min<size_t>(read.out.size(), 70'000))};
            default:
                return Fault{};
        }
    });
    auto restore = fixture.start(image.digest);
    CHECK(right_chunks(TierFixture::view(*restore.image), image) == image.chunks.size());
    CHECK(restore.result.get().ok());
}

TEST_CASE("a failing image does not harm another one that is restored at the same time") {
    TierFixture fixture;
    const auto good = deploy_image(*fixture.store, kShape, 1);
    const auto bad = deploy_image(*fixture.store, kShape, 100);
    test::flip_stored_bit(fixture.folder.path(), fixture.store->locate(bad.chunks[2].id).value());
    fixture.create_tier(kOptions);
    auto failing = fixture.start(bad.digest);
    auto working = fixture.start(good.digest);
    CHECK(failure(failing, bad).code == ErrorCode::kCorrupt);
    CHECK(right_chunks(TierFixture::view(*working.image), good) == good.chunks.size());
    CHECK(working.result.get().ok());
}

TEST_CASE("a truncated pack fails the images that it held to the end") {
    TierFixture fixture;
    const auto image = deploy_image(*fixture.store, kShape, 1);
    const std::string pack = test::pack_files(fixture.folder.path())[0];
    std::filesystem::resize_file(pack, test::file_size(pack) - 512 * kKiB);
    fixture.create_tier(kOptions);
    auto restore = fixture.start(image.digest);
    CHECK(failure(restore, image).code == ErrorCode::kTruncated);
}

TEST_CASE("a missing pack is refused before memory is taken") {
    TierFixture fixture;
    const auto image = deploy_image(*fixture.store, kShape, 1);
    fixture.store.reset();
    std::filesystem::remove(test::pack_files(fixture.folder.path())[0]);
    fixture.store = test::open_store(fixture.folder.path());
    fixture.create_tier(kOptions);
    auto restore = fixture.start(image.digest);
    CHECK(restore.image == nullptr);
    const auto result = restore.result.get();
    CHECK(result.error().code == ErrorCode::kCorrupt);
    CHECK(result.error().message.find("000001.pack is missing; run `rekindle deploy` again") !=
          std::string::npos);
    CHECK(fixture.tier->resident_bytes() == 0);
}

TEST_CASE("an image that is removed and collected while it is restored fails or is whole") {
    TierFixture fixture;
    const auto image = deploy_image(*fixture.store, kShape, 1);
    fixture.create_tier(kOptions, [&](uint64_t number, const loader::RawRead&) {
        if (number == 4) {
            REKINDLE_CHECK(fixture.store->remove_image(image.digest).ok(), "it is there");
            REKINDLE_CHECK(fixture.store->collect().value() > 0, "nothing else refers to it");
        }
        return Fault{};
    });
    auto restore = fixture.start(image.digest);
    const ImageView view = TierFixture::view(*restore.image);
    CHECK(right_chunks(view, image) < image.chunks.size());
    CHECK_FALSE(restore.result.get().ok());
}

TEST_CASE("an image is neither evicted nor pushed out while it is restored") {
    TierFixture fixture;
    const auto image = deploy_image(*fixture.store, kShape, 1);
    const auto other = deploy_image(*fixture.store, kShape, 100);
    HostTierOptions options = kOptions;
    options.budget_bytes = image.bytes.size() + test::kLatchFileBytes;
    std::atomic<size_t> refused = 0;
    fixture.create_tier(options, [&](uint64_t number, const loader::RawRead&) {
        if (number == 3) {  // Nobody but the restore itself holds the image now.
            const auto evicted = fixture.tier->evict(image.digest);
            refused += !evicted && evicted.error().code == ErrorCode::kConflict ? 1 : 0;
            const auto pushing = fixture.start(other.digest);
            refused += pushing.image == nullptr ? 1 : 0;
        }
        return Fault{};
    });
    auto restore = fixture.start(image.digest);
    restore.image.reset();
    CHECK(restore.result.get().ok());
    CHECK(refused == 2);
    auto again = fixture.start(image.digest);
    REQUIRE(again.image != nullptr);
    CHECK(again.result.get()->from_memory);
    CHECK(right_chunks(TierFixture::view(*again.image), image) == image.chunks.size());
}
