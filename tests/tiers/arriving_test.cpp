// Images that are restored while their chunks are still on their way.
#include "loader/chunk_supply.h"
#include "tests/tiers/tier_fixture.h"

#include <doctest/doctest.h>

#include <mutex>

using namespace rekindle;            // NOLINT(google-build-using-namespace): a test.
using namespace rekindle::snapshot;  // NOLINT(google-build-using-namespace): a test.
using test::deploy_image;
using test::ImageShape;
using test::right_chunks;
using test::TierFixture;

namespace {

const ImageShape kShape{.chunk_bytes = {768 * kKiB, 2 * kMiB + 4096, 4 * kMiB, 4096, 1 * kMiB},
                        .compress_first = true};

// One image that arrives when the test says so.
class HandSupply final : public loader::ChunkSupply {
public:
    explicit HandSupply(test::TestImage image)
        : image_(std::make_shared<Image>(std::move(image))) {}

    std::shared_ptr<loader::ArrivingImage> find(const std::string& digest) override {
        return digest == image_->image.digest ? image_ : nullptr;
    }

    std::vector<loader::ImageChunk> wanted() const {
        const std::lock_guard lock(image_->mutex);
        return image_->wanted;
    }

    std::span<const std::byte> bytes_of(const loader::ImageChunk& chunk) const {
        return std::span(image_->image.bytes).subspan(chunk.offset, chunk.bytes);
    }

    void give(const loader::ImageChunk& chunk, Result<std::span<const std::byte>> bytes) {
        loader::ArrivingImage::OnChunk on_chunk;
        {
            const std::lock_guard lock(image_->mutex);
            on_chunk = image_->on_chunk;
        }
        on_chunk(chunk, std::move(bytes));
    }

    void give_all() {
        for (const loader::ImageChunk& chunk : wanted()) {
            give(chunk, bytes_of(chunk));
        }
    }

    // As the real one after a chunk's last waiter was told.
    void let_go() {
        const std::lock_guard lock(image_->mutex);
        image_->on_chunk = nullptr;
    }

private:
    struct Image final : loader::ArrivingImage {
        explicit Image(test::TestImage given) : image(std::move(given)) {}

        const std::string& index_json() const noexcept override { return image.index_json; }

        void want(const std::vector<loader::ImageChunk>& chunks, OnChunk told) override {
            const std::lock_guard lock(mutex);
            wanted = chunks;
            on_chunk = std::move(told);
        }

        const test::TestImage image;
        mutable std::mutex mutex;
        std::vector<loader::ImageChunk> wanted;
        OnChunk on_chunk;
    };

    std::shared_ptr<Image> image_;
};

// A node that has `here` of the image's chunks, and none of the image itself.
struct Fixture : TierFixture {
    explicit Fixture(size_t here)
        : image([] {
              TierFixture elsewhere;
              return deploy_image(*elsewhere.store, kShape, 1);
          }()),
          supply(image) {
        for (size_t i = 0; i < here; ++i) {
            REQUIRE(store->put(supply.bytes_of(image.chunks[i]), i == 0).ok());
        }
        REQUIRE(store->commit().ok());
        create_tier({.budget_bytes = 64 * kMiB,
                     .extent_bytes = 1 * kMiB,
                     .queue_depth = 4,
                     .supply = &supply});
    }

    ~Fixture() { supply.let_go(); }

    const test::TestImage image;
    HandSupply supply;
};

}  // namespace

TEST_CASE("what is here is read and what is missing is asked for, in order of its first use") {
    Fixture f(2);
    auto restore = f.start(f.image.digest);
    REQUIRE(restore.image != nullptr);
    const auto wanted = f.supply.wanted();
    REQUIRE(wanted.size() == 3);
    for (size_t i = 0; i < wanted.size(); ++i) {
        CHECK(wanted[i].id == f.image.chunks[i + 2].id);
    }
    const ImageView view = TierFixture::view(*restore.image);
    CHECK(view.wait(f.image.chunks[1].offset, f.image.chunks[1].bytes).ok());  // Before the rest.
    CHECK_FALSE(restore.image->complete());
    f.supply.give_all();
    const auto times = restore.result.get();
    REQUIRE(times.ok());
    CHECK(right_chunks(view, f.image) == f.image.chunks.size());
    CHECK(times->bytes_fetched == 5 * kMiB + 4096);
    CHECK(times->bytes_read > 2 * kMiB);
    CHECK(f.tier->resident(f.image.digest));
}

TEST_CASE("a chunk that arrives out of turn is ready at once, and counts once") {
    Fixture f(0);
    auto restore = f.start(f.image.digest);
    const ImageView view = TierFixture::view(*restore.image);
    const loader::ImageChunk last = f.image.chunks.back();
    f.supply.give(last, f.supply.bytes_of(last));
    CHECK(view.wait(last.offset, last.bytes).ok());
    f.supply.give_all();
    CHECK(restore.result.get().ok());
    CHECK(right_chunks(view, f.image) == f.image.chunks.size());
}

TEST_CASE("a chunk that can't be had fails the restore with its reason, and the next one resumes") {
    Fixture f(2);
    auto restore = f.start(f.image.digest);
    auto joined = f.start(f.image.digest);
    const auto wanted = f.supply.wanted();
    f.supply.give(wanted[0], f.supply.bytes_of(wanted[0]));
    f.supply.give(wanted[1], Error{ErrorCode::kNotFound, "host.test: no such object"});
    f.supply.give(wanted[2], Error{ErrorCode::kNotFound, "host.test: no such object"});
    for (auto* waiting : {&restore, &joined}) {
        const auto result = waiting->result.get();
        REQUIRE_FALSE(result.ok());
        CHECK(result.error().code == ErrorCode::kNotFound);
        CHECK(result.error().message.find("chunk 3 ") != std::string::npos);
        CHECK(result.error().message.ends_with("no such object"));
    }
    CHECK(right_chunks(TierFixture::view(*restore.image), f.image) <= 3);
    restore.image.reset();
    joined.image.reset();
    auto again = f.start(f.image.digest);
    f.supply.give_all();
    CHECK(again.result.get().ok());
    CHECK(right_chunks(TierFixture::view(*again.image), f.image) == f.image.chunks.size());
}

TEST_CASE("bytes that are not what the index says never become ready") {
    Fixture f(4);
    auto restore = f.start(f.image.digest);
    const auto wanted = f.supply.wanted();
    REQUIRE(wanted.size() == 1);
    std::vector<std::byte> wrong(wanted[0].bytes);
    f.supply.give(wanted[0], std::span<const std::byte>(wrong));
    const auto result = restore.result.get();
    REQUIRE_FALSE(result.ok());
    CHECK(result.error().code == ErrorCode::kCorrupt);
    CHECK(right_chunks(TierFixture::view(*restore.image), f.image) < f.image.chunks.size());
}

TEST_CASE("an image that nobody has and that is not on its way is not found") {
    Fixture f(0);
    CHECK(f.start(std::string(64, '0')).result.get().error().code == ErrorCode::kNotFound);
}
