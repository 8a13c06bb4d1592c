#include "loader/ring.h"

#include "base/unique_fd.h"
#include "base/units.h"
#include "tests/loader/faulty_backend.h"
#include "tests/loader/temp_store.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <map>
#include <unistd.h>

using namespace rekindle;          // NOLINT(google-build-using-namespace): a test.
using namespace rekindle::loader;  // NOLINT(google-build-using-namespace): a test.
using test::Fault;

namespace {

// A file of random bytes, and a place to read it to.
struct TestFile {
    explicit TestFile(uint64_t bytes) : content(test::random_bytes(bytes, 7)), pages(bytes) {
        const std::string path = folder.path() + "/file";
        UniqueFd write(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        REQUIRE(write_all(write.get(), content).ok());
        fd = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    }

    ReadRequest request() const {
        return {.fd = fd.get(), .direct = false, .offset = 0, .out = pages.span(), .tag = 42};
    }

    bool read_whole() const { return std::ranges::equal(pages.span(), content); }

    test::TempFolder folder;
    std::vector<std::byte> content;
    test::Pages pages;
    UniqueFd fd;
};

ReadOutcome read_with(const TestFile& file, test::FaultyBackend::Plan plan) {
    Ring ring(std::make_unique<test::FaultyBackend>(4, std::move(plan)));
    ring.start(file.request());
    return ring.wait();
}

}  // namespace

TEST_CASE("io_uring and the reading thread both fill the buffer") {
    const TestFile file(1 * kMiB);
    auto uring = make_uring_backend(8);
    if (uring) {
        Ring ring(std::move(uring).value());
        ring.start(file.request());
        const ReadOutcome outcome = ring.wait();
        CHECK(outcome.tag == 42);
        CHECK(outcome.result.ok());
        CHECK(file.read_whole());
    } else {
        MESSAGE("skipped half: ", uring.error().message);
    }
    std::ranges::fill(file.pages.span(), std::byte{0});
    Ring ring(make_thread_backend(8));
    ring.start(file.request());
    CHECK(ring.wait().result.ok());
    CHECK(file.read_whole());
}

TEST_CASE("many reads in flight come back each with its own tag") {
    const TestFile file(256 * kKiB);
    Ring ring(make_read_backend(8));
    std::map<uint64_t, bool> seen;
    uint64_t next = 0;
    const uint64_t count = file.content.size() / kPageBytes;
    while (seen.size() < count) {
        while (ring.has_room() && next < count) {
            ring.start({.fd = file.fd.get(),
                        .direct = false,
                        .offset = next * kPageBytes,
                        .out = file.pages.span().subspan(next * kPageBytes, kPageBytes),
                        .tag = next});
            ++next;
        }
        const ReadOutcome outcome = ring.wait();
        CHECK(outcome.result.ok());
        CHECK(seen.emplace(outcome.tag, true).second);
    }
    CHECK(file.read_whole());
    CHECK(ring.in_flight() == 0);
}

TEST_CASE("short reads are continued where they ended") {
    const TestFile file(64 * kKiB);
    const auto outcome = read_with(file, [](uint64_t number, const RawRead&) {
        return number < 10 ? Fault{Fault::Kind::kShort, 1000} : Fault{};
    });
    CHECK(outcome.result.ok());
    CHECK(file.read_whole());
}

TEST_CASE("a short direct read goes on at a whole page") {
    const TestFile file(64 * kKiB);
    bool aligned = true;
    Ring ring(
        std::make_unique<test::FaultyBackend>(1, [&aligned](uint64_t number, const RawRead& read) {
            aligned = aligned && read.offset % kPageBytes == 0;
            return number == 0 ? Fault{Fault::Kind::kShort, 5000} : Fault{};
        }));
    ReadRequest request = file.request();
    request.direct = true;
    ring.start(request);
    CHECK(ring.wait().result.ok());
    CHECK(aligned);
    CHECK(file.read_whole());
}

TEST_CASE("EINTR and EAGAIN are tried again, but not for ever") {
    const TestFile file(8 * kKiB);
    const auto passing = read_with(file, [](uint64_t number, const RawRead&) {
        return number < 6 ? Fault{Fault::Kind::kError, number % 2 == 0 ? EINTR : EAGAIN} : Fault{};
    });
    CHECK(passing.result.ok());
    CHECK(file.read_whole());

    uint64_t tries = 0;
    const auto lasting = read_with(file, [&tries](uint64_t, const RawRead&) {
        ++tries;
        return Fault{Fault::Kind::kError, EAGAIN};
    });
    CHECK_FALSE(lasting.result.ok());
    CHECK(tries < 100);
}

TEST_CASE("EIO is reported at once, with the place") {
    const TestFile file(8 * kKiB);
    const auto outcome =
        read_with(file, [](uint64_t, const RawRead&) { return Fault{Fault::Kind::kError, EIO}; });
    REQUIRE_FALSE(outcome.result.ok());
    CHECK(outcome.result.error().code == ErrorCode::kIo);
    CHECK(outcome.result.error().message == "read of 8192 bytes at 0: Input/output error");
}

TEST_CASE("a file that ends early is truncated, not filled up") {
    const TestFile file(8 * kKiB);
    Ring ring(make_read_backend(2));
    ReadRequest request = file.request();
    request.offset = kPageBytes;
    ring.start(request);
    const ReadOutcome outcome = ring.wait();
    REQUIRE_FALSE(outcome.result.ok());
    CHECK(outcome.result.error().code == ErrorCode::kTruncated);
}

TEST_CASE("a file system that refuses O_DIRECT is read through the page cache") {
    const TestFile file(8 * kKiB);
    Ring ring(std::make_unique<test::FaultyBackend>(1, [](uint64_t number, const RawRead&) {
        return number == 0 ? Fault{Fault::Kind::kError, EINVAL} : Fault{};
    }));
    ReadRequest request = file.request();
    request.direct = true;
    ring.start(request);
    CHECK(ring.wait().result.ok());
    CHECK(file.read_whole());
}
