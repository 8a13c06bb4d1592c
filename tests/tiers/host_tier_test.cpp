#include "snapshot/tiers/host_tier.h"

#include "tests/tiers/tier_fixture.h"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <latch>
#include <sys/mman.h>
#include <unistd.h>

using namespace rekindle;            // NOLINT(google-build-using-namespace): a test.
using namespace rekindle::snapshot;  // NOLINT(google-build-using-namespace): a test.
using test::deploy_image;
using test::Fault;
using test::ImageShape;
using test::right_chunks;
using test::TierFixture;

namespace {

// Extents of 1 MiB: chunks lie across their borders.
constexpr HostTierOptions kOptions{
    .budget_bytes = 64 * kMiB, .extent_bytes = 1 * kMiB, .queue_depth = 4};
const ImageShape kShape{.chunk_bytes = {768 * kKiB, 2 * kMiB + 4096, 4 * kMiB, 4096, 1 * kMiB},
                        .compress_first = true};
const ImageShape kOneMiB{.chunk_bytes = {1 * kMiB}};

}  // namespace

TEST_CASE("a restored image has the bytes that were deployed") {
    TierFixture fixture;
    const auto image = deploy_image(*fixture.store, kShape, 1);
    fixture.create_tier(kOptions);
    auto restore = fixture.start(image.digest);
    REQUIRE(restore.image != nullptr);
    CHECK(restore.image->index_json() == image.index_json);
    CHECK(restore.image->bytes() == image.bytes.size());

    const ImageView view = TierFixture::view(*restore.image);
    CHECK(right_chunks(view, image) == image.chunks.size());
    const auto times = restore.result.get();
    REQUIRE(times.ok());
    CHECK_FALSE(times->from_memory);
    CHECK(times->bytes_read > 6 * kMiB);
    CHECK(times->bytes_read < image.bytes.size());  // The table came compressed.
    CHECK(times->first_chunk <= times->total);
    CHECK(restore.image->complete());
    CHECK(fixture.tier->resident(image.digest));
    CHECK(fixture.tier->resident_bytes() == image.bytes.size() + test::kLatchFileBytes);
}

TEST_CASE("each chunk of a restore is told once with its moment, and none of a resident image") {
    TierFixture fixture;
    const auto image = deploy_image(*fixture.store, kShape, 1);
    fixture.create_tier(kOptions);
    const auto times = fixture.start(image.digest).result.get();
    REQUIRE(times.ok());
    REQUIRE(times->arrivals != nullptr);
    std::vector<uint64_t> bytes(kShape.chunk_bytes.size());
    for (const ChunkArrival& chunk : *times->arrivals) {
        const auto same = [&](const auto& of_image) { return of_image.offset == chunk.offset; };
        const auto at = std::ranges::find_if(image.chunks, same);
        REQUIRE(at != image.chunks.end());
        bytes[static_cast<size_t>(at - image.chunks.begin())] += chunk.bytes;
        CHECK(chunk.at <= times->arrivals->back().at);
    }
    CHECK(bytes == kShape.chunk_bytes);
    CHECK(fixture.start(image.digest).result.get()->arrivals == nullptr);
}

TEST_CASE("an image that was dropped is read again, also while somebody holds it") {
    TierFixture fixture;
    const auto image = deploy_image(*fixture.store, kOneMiB, 1);
    fixture.create_tier(kOptions);
    auto held = fixture.start(image.digest);
    REQUIRE(held.result.get().ok());
    fixture.tier->drop(image.digest);
    CHECK_FALSE(fixture.tier->resident(image.digest));
    auto again = fixture.start(image.digest);
    CHECK(again.image != held.image);
    CHECK_FALSE(again.result.get()->from_memory);
    fixture.tier->drop("unknown");
}

TEST_CASE("an image that is resident is given at once, from memory") {
    TierFixture fixture;
    const auto image = deploy_image(*fixture.store, kOneMiB, 1);
    fixture.create_tier(kOptions);
    REQUIRE(fixture.start(image.digest).result.get().ok());
    auto again = fixture.start(image.digest);
    CHECK(again.result.wait_for(std::chrono::seconds(0)) == std::future_status::ready);
    CHECK(again.result.get()->from_memory);
    CHECK(again.image->complete());
}

TEST_CASE("a restore that leaves time to others is whole") {
    TierFixture fixture;
    const auto image = deploy_image(*fixture.store, kShape, 1);
    fixture.create_tier(kOptions);
    fixture.tier->set_restore_share(50);
    auto restore = fixture.start(image.digest);
    CHECK(restore.result.get().ok());
    CHECK(right_chunks(TierFixture::view(*restore.image), image) == image.chunks.size());
}

TEST_CASE("a restore through buffers is the same") {
    TierFixture fixture;
    std::vector<uint64_t> chunks(12, 4 * kMiB);  // More than there are buffers.
    chunks.front() = 768 * kKiB;
    const auto image =
        deploy_image(*fixture.store, {.chunk_bytes = chunks, .compress_first = true}, 1);
    HostTierOptions options = kOptions;
    options.through_buffers = true;
    options.queue_depth = 16;
    fixture.create_tier(options);
    for (int round = 0; round < 2; ++round) {  // The second time with buffers that stayed.
        auto restore = fixture.start(image.digest);
        CHECK(restore.result.get().ok());
        CHECK(right_chunks(TierFixture::view(*restore.image), image) == image.chunks.size());
        restore.image.reset();
        CHECK(fixture.tier->evict(image.digest).ok());
    }
}

TEST_CASE("requests for one image share one restore") {
    TierFixture fixture;
    const auto image = deploy_image(*fixture.store, kShape, 1);
    std::latch release(1);
    fixture.create_tier(kOptions, [&release](uint64_t, const loader::RawRead&) {
        release.wait();
        return Fault{};
    });
    auto first = fixture.start(image.digest);
    auto second = fixture.start(image.digest);
    CHECK(first.image == second.image);
    CHECK_FALSE(fixture.tier->resident(image.digest));
    release.count_down();
    CHECK(first.result.get().ok());
    CHECK(second.result.get()->bytes_read > 0);
}

TEST_CASE("images that are restored together all arrive") {
    TierFixture fixture;
    std::vector<test::TestImage> images;
    for (uint64_t seed = 0; seed < 4; ++seed) {
        images.push_back(deploy_image(*fixture.store, kShape, 100 * seed));
    }
    fixture.create_tier(kOptions);
    std::vector<test::Restore> restores;
    for (const auto& image : images) {
        restores.push_back(fixture.start(image.digest));
    }
    for (size_t i = 0; i < images.size(); ++i) {
        CHECK(right_chunks(TierFixture::view(*restores[i].image), images[i]) ==
              images[i].chunks.size());
        CHECK(restores[i].result.get().ok());
    }
}

TEST_CASE("a worker cannot write, grow, shrink or punch what it is given") {
    TierFixture fixture;
    const auto image = deploy_image(*fixture.store, kOneMiB, 1);
    fixture.create_tier(kOptions);
    auto restore = fixture.start(image.digest);
    REQUIRE(restore.result.get().ok());
    auto shared = restore.image->descriptors().value();
    for (const UniqueFd* const fd : {&shared.extents[0], &shared.latches}) {
        const char byte = 1;
        CHECK(::pwrite(fd->get(), &byte, 1, 0) == -1);
        CHECK(::ftruncate(fd->get(), 0) == -1);
        CHECK(::ftruncate(fd->get(), 16 << 20) == -1);
        CHECK(::fallocate(fd->get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == -1);
        CHECK(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd->get(), 0) ==
              MAP_FAILED);
        void* const readable = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd->get(), 0);
        REQUIRE(readable != MAP_FAILED);
        CHECK(::mprotect(readable, 4096, PROT_READ | PROT_WRITE) == -1);
        ::munmap(readable, 4096);
    }
}

TEST_CASE("an image beyond the budget is refused, naming need and budget") {
    TierFixture fixture;
    const auto image = deploy_image(*fixture.store, kOneMiB, 1);
    const uint64_t need = 1 * kMiB + test::kLatchFileBytes;
    fixture.create_tier({.budget_bytes = need - 1});
    auto refused = fixture.start(image.digest);
    CHECK(refused.image == nullptr);
    const auto result = refused.result.get();
    CHECK(result.error().code == ErrorCode::kResourceExhausted);
    CHECK(result.error().message.find("needs 1.0 MiB of host memory, the budget is 1.0 MiB") !=
          std::string::npos);

    fixture.create_tier({.budget_bytes = need});
    CHECK(fixture.start(image.digest).result.get().ok());
}

TEST_CASE("the image that was used longest ago makes room, unless somebody holds it") {
    TierFixture fixture;
    std::vector<std::string> digests;
    for (uint64_t seed = 0; seed < 4; ++seed) {
        digests.push_back(deploy_image(*fixture.store, kOneMiB, seed).digest);
    }
    fixture.create_tier({.budget_bytes = 2 * (1 * kMiB + test::kLatchFileBytes)});
    auto held = fixture.start(digests[0]);
    REQUIRE(held.result.get().ok());
    REQUIRE(fixture.start(digests[1]).result.get().ok());

    REQUIRE(fixture.start(digests[2]).result.get().ok());  // In the place of 1: 0 is held.
    CHECK(fixture.tier->resident(digests[0]));
    CHECK_FALSE(fixture.tier->resident(digests[1]));

    auto also_held = fixture.start(digests[2]);
    auto refused = fixture.start(digests[3]).result.get();
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == ErrorCode::kResourceExhausted);

    held.image.reset();
    also_held.image.reset();
    REQUIRE(fixture.start(digests[3]).result.get().ok());  // 0 was used before 2.
    CHECK_FALSE(fixture.tier->resident(digests[0]));
    CHECK(fixture.tier->resident(digests[2]));
}

TEST_CASE("evicting needs an image that is there and that nobody holds") {
    TierFixture fixture;
    const auto image = deploy_image(*fixture.store, kOneMiB, 1);
    fixture.create_tier(kOptions);
    CHECK(fixture.tier->evict(image.digest).error().code == ErrorCode::kNotFound);
    auto restore = fixture.start(image.digest);
    REQUIRE(restore.result.get().ok());
    CHECK(fixture.tier->evict(image.digest).error().code == ErrorCode::kConflict);
    restore.image.reset();
    CHECK(fixture.tier->evict(image.digest).ok());
    CHECK(fixture.tier->resident_bytes() == 0);
}

TEST_CASE("a worker's mapping outlives the eviction of its image") {
    TierFixture fixture;
    const auto image = deploy_image(*fixture.store, kShape, 1);
    fixture.create_tier(kOptions);
    auto restore = fixture.start(image.digest);
    REQUIRE(restore.result.get().ok());
    const ImageView view = TierFixture::view(*restore.image);
    restore.image.reset();
    REQUIRE(fixture.tier->evict(image.digest).ok());
    CHECK(right_chunks(view, image) == image.chunks.size());
}

TEST_CASE("an image is restored into the memory that another one left") {
    TierFixture fixture;
    const auto first = deploy_image(*fixture.store, kShape, 1);
    const auto second = deploy_image(*fixture.store, kShape, 100);
    fixture.create_tier({.budget_bytes = 64 * kMiB, .kept_bytes = 64 * kMiB});
    uint64_t held = 0;
    {
        auto restore = fixture.start(first.digest);
        REQUIRE(restore.result.get().ok());
        held = fixture.tier->resident_bytes();
        CHECK(fixture.tier->free_bytes() == 0);
    }
    REQUIRE(fixture.tier->evict(first.digest).ok());
    CHECK(fixture.tier->resident_bytes() == 0);
    CHECK(fixture.tier->free_bytes() == held - test::kLatchFileBytes);
    auto restore = fixture.start(second.digest);
    CHECK(right_chunks(TierFixture::view(*restore.image), second) == second.chunks.size());
    REQUIRE(restore.result.get().ok());
    CHECK(fixture.tier->free_bytes() == 0);
    CHECK(fixture.tier->resident_bytes() == held);
}

TEST_CASE("a worker finds nothing of the image whose memory it is given") {
    TierFixture fixture;
    const auto first =
        deploy_image(*fixture.store, {.chunk_bytes = std::vector<uint64_t>(1, 4 * kMiB)}, 1);
    const auto second = deploy_image(*fixture.store, kOneMiB, 2);
    std::latch release(1);
    bool hold = false;
    fixture.create_tier({.budget_bytes = 64 * kMiB, .kept_bytes = 64 * kMiB},
                        [&](uint64_t, const loader::RawRead&) {
                            if (hold) {
                                release.wait();
                            }
                            return Fault{};
                        });
    REQUIRE(fixture.start(first.digest).result.get().ok());
    REQUIRE(fixture.tier->evict(first.digest).ok());
    hold = true;
    auto restore = fixture.start(second.digest);
    auto shared = restore.image->descriptors().value();
    const auto whole = Mapping::read_only(shared.extents[0].get(), 4 * kMiB);
    REQUIRE(whole.ok());
    CHECK(std::ranges::all_of(whole->span(), [](std::byte b) { return b == std::byte{0}; }));
    release.count_down();
    CHECK(restore.result.get().ok());
}

TEST_CASE("an image that the store does not have is not found") {
    TierFixture fixture;
    fixture.create_tier(kOptions);
    CHECK(fixture.start(std::string(64, 'a')).result.get().error().code == ErrorCode::kNotFound);
}

TEST_CASE("options out of range are refused") {
    TierFixture fixture;
    const auto refused = [&fixture](HostTierOptions options) {
        auto tier = HostTier::create(*fixture.store, fixture.clock, options);
        return !tier && tier.error().code == ErrorCode::kInvalidArgument;
    };
    CHECK(refused({.budget_bytes = 1, .extent_bytes = 0}));
    CHECK(refused({.budget_bytes = 1, .extent_bytes = 4095}));
    CHECK(refused({.budget_bytes = 1, .queue_depth = 0}));
    CHECK(refused({.budget_bytes = 1, .queue_depth = 4097}));
}

TEST_CASE("an image of many small extents fits into one message of descriptors") {
    TierFixture fixture;
    const auto image =
        deploy_image(*fixture.store, {.chunk_bytes = std::vector<uint64_t>(4, 4 * kMiB)}, 1);
    fixture.create_tier({.budget_bytes = 64 * kMiB, .extent_bytes = 4096});
    auto restore = fixture.start(image.digest);
    CHECK(restore.image->descriptors()->extents.size() == 8);
    CHECK(right_chunks(TierFixture::view(*restore.image), image) == 4);
    CHECK(restore.result.get().ok());
}

TEST_CASE("the tier ends only after the restores that were asked for") {
    TierFixture fixture;
    const auto image = deploy_image(*fixture.store, kShape, 1);
    fixture.create_tier(kOptions);
    auto restore = fixture.start(image.digest);
    restore.image.reset();
    fixture.tier.reset();
    CHECK(restore.result.get().ok());
}
