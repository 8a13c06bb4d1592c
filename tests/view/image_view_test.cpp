#include "snapshot/view/image_view.h"

#include "snapshot/view/latches.h"
#include "tests/view/sample_index.h"

#include <doctest/doctest.h>

#include <future>
#include <thread>
#include <vector>

using namespace rekindle;            // NOLINT(google-build-using-namespace): a test.
using namespace rekindle::snapshot;  // NOLINT(google-build-using-namespace): a test.
using test::sample_index;

namespace {

constexpr uint64_t kImageBytes = 49152;

// The daemon's side of an image of three chunks: 32 KiB and 16 KiB of memory, and latches.
struct Origin {
    Origin() {
        for (const uint64_t bytes : {uint64_t{32768}, uint64_t{16384}}) {
            UniqueFd fd = create_memory_file("extent", bytes).value();
            extents.push_back(Mapping::read_write(fd.get(), bytes).value());
            files.push_back({.fd = std::move(fd), .bytes = bytes});
        }
        latch_file = create_memory_file("latches", 4096).value();
        latch_mapping = Mapping::read_write(latch_file.get(), 4096).value();
    }

    uint32_t& latch(size_t chunk) {
        return reinterpret_cast<uint32_t*>(latch_mapping.data())[chunk];
    }

    Result<ImageView> view() {
        return ImageView::open(sample_index(), std::move(files), std::move(latch_file));
    }

    std::vector<Mapping> extents;
    std::vector<ExtentFile> files;
    UniqueFd latch_file;
    Mapping latch_mapping;
};

}  // namespace

TEST_CASE("a view over whole bytes waits for nothing") {
    const std::vector<std::byte> space(kImageBytes, std::byte{7});
    auto view = ImageView::over_memory(sample_index(), space);
    REQUIRE(view.ok());
    CHECK(view->ready(0, kImageBytes));
    CHECK(view->wait(8192, 2176)->data() == space.data() + 8192);
    CHECK_FALSE(ImageView::over_memory(sample_index(), std::span(space).first(4096)).ok());
}

TEST_CASE("a range is ready when all of its chunks are, and extents are one space") {
    Origin origin;
    origin.extents[0].data()[32767] = std::byte{1};
    origin.extents[1].data()[0] = std::byte{2};
    auto view = origin.view();
    REQUIRE_MESSAGE(view.ok(), (view.ok() ? "" : view.error().message));
    CHECK_FALSE(view->ready(32767, 2));
    set_latch(origin.latch(1), Latch::kReady);
    CHECK(view->ready(8192, 24576));
    CHECK_FALSE(view->ready(8191, 2));
    CHECK_FALSE(view->ready(32767, 2));
    set_latch(origin.latch(2), Latch::kReady);
    CHECK(view->ready(32767, 2));

    const auto bytes = view->wait(32767, 2).value();
    CHECK(bytes[0] == std::byte{1});
    CHECK(bytes[1] == std::byte{2});
}

TEST_CASE("a waiter sleeps until the chunk is published, and sees its bytes") {
    Origin origin;
    auto view = origin.view();
    REQUIRE(view.ok());
    const ImageView& seen = *view;
    auto waiter =
        std::async(std::launch::async, [&seen] { return seen.wait(32768, 4096)->front(); });
    CHECK(waiter.wait_for(std::chrono::seconds(0)) == std::future_status::timeout);
    origin.extents[1].data()[0] = std::byte{42};
    set_latch(origin.latch(2), Latch::kReady);
    CHECK(waiter.get() == std::byte{42});
}

TEST_CASE("a failed chunk wakes its waiters with an error, others stay readable") {
    Origin origin;
    auto view = origin.view();
    REQUIRE(view.ok());
    const ImageView& seen = *view;
    auto waiter = std::async(std::launch::async, [&seen] { return seen.wait(0, 49152); });
    set_latch(origin.latch(0), Latch::kReady);
    set_latch(origin.latch(1), Latch::kFailed);
    const auto result = waiter.get();
    REQUIRE_FALSE(result.ok());
    CHECK(result.error().code == ErrorCode::kUnavailable);
    CHECK(result.error().message == "image: chunk 1 of 3 could not be restored");
    CHECK(view->wait(0, 8192).ok());
    CHECK(view->ready(0, 49152));  // wait() answers at once, though with an error.
}

TEST_CASE("a latch with an unknown value counts as failed") {
    Origin origin;
    auto view = origin.view();
    origin.latch(0) = 77;
    CHECK_FALSE(view->wait(0, 1).ok());
}

TEST_CASE("a range outside of the image is refused, an empty one is given") {
    Origin origin;
    auto view = origin.view();
    CHECK(view->wait(kImageBytes, 1).error().code == ErrorCode::kInvalidArgument);
    CHECK(view->wait(1, ~uint64_t{0}).error().code == ErrorCode::kInvalidArgument);
    CHECK(view->wait(kImageBytes, 0)->empty());
}

TEST_CASE("extents that do not add up, or files shorter than said, are refused") {
    Origin missing;
    missing.files.pop_back();
    CHECK_FALSE(missing.view().ok());

    Origin uneven;
    uneven.files[0].bytes = 32767;
    CHECK_FALSE(uneven.view().ok());

    Origin swapped;  // The second file is the shorter one: reading beyond it would be fatal.
    std::swap(swapped.files[0].fd, swapped.files[1].fd);
    auto view = swapped.view();
    REQUIRE_FALSE(view.ok());
    CHECK(view.error().code == ErrorCode::kTruncated);

    Origin no_latches;
    no_latches.latch_file = create_memory_file("latches", 8).value();
    CHECK(no_latches.view().error().code == ErrorCode::kTruncated);
}
