#include "base/unique_fd.h"

#include "base/hash.h"

#include <doctest/doctest.h>

#include <array>
#include <fcntl.h>
#include <string>
#include <unistd.h>

using namespace rekindle;  // NOLINT(google-build-using-namespace): a test.

namespace {

bool is_open(int fd) {
    return ::fcntl(fd, F_GETFD) >= 0;
}

}  // namespace

TEST_CASE("a descriptor is closed once, by its last owner") {
    int number = -1;
    {
        UniqueFd fd = std::move(create_memory_file("test", 1)).value();
        number = fd.get();
        UniqueFd moved = std::move(fd);
        CHECK_FALSE(fd.valid());  // NOLINT(bugprone-use-after-move): that is what is tested.
        CHECK(moved.get() == number);
        CHECK(is_open(number));
    }
    CHECK_FALSE(is_open(number));
}

TEST_CASE("assigning closes what was held; releasing gives it up") {
    UniqueFd a = std::move(create_memory_file("a", 1)).value();
    UniqueFd b = std::move(create_memory_file("b", 1)).value();
    const int first = a.get();
    a = std::move(b);
    CHECK_FALSE(is_open(first));
    const int second = a.release();
    a.reset();
    CHECK(is_open(second));
    ::close(second);
}

TEST_CASE("a duplicate is another descriptor of the same file, closed in children") {
    const UniqueFd file = std::move(create_memory_file("test", 4)).value();
    const UniqueFd copy = std::move(file.duplicate()).value();
    CHECK(copy.get() != file.get());
    CHECK((::fcntl(copy.get(), F_GETFD) & FD_CLOEXEC) != 0);
    REQUIRE(write_all(file.get(), as_bytes("abcd")).ok());
    std::array<std::byte, 4> bytes{};
    REQUIRE(read_exact_at(copy.get(), bytes, 0).ok());
    CHECK(as_text(bytes) == "abcd");
    CHECK_FALSE(UniqueFd().duplicate().ok());
}

TEST_CASE("reading exactly says when the file ends early") {
    const UniqueFd file = std::move(create_memory_file("test", 4)).value();
    std::array<std::byte, 4> bytes{};
    CHECK(read_exact_at(file.get(), bytes, 0).ok());
    CHECK(read_exact_at(file.get(), bytes, 1).error().code == ErrorCode::kTruncated);
    CHECK(read_exact_at(file.get(), bytes, 1 << 20).error().code == ErrorCode::kTruncated);
    CHECK(read_exact_at(-1, bytes, 0).error().code == ErrorCode::kIo);
    CHECK(*file_bytes(file.get()) == 4);
    CHECK_FALSE(file_bytes(-1).ok());
}

TEST_CASE("writes to a full device are kNoSpace") {
    const UniqueFd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
    REQUIRE(full.valid());
    CHECK(write_all(full.get(), as_bytes("x")).error().code == ErrorCode::kNoSpace);
}

TEST_CASE("two mappings of one file are the same bytes, and go when their owners do") {
    const UniqueFd file = std::move(create_memory_file("test", 4096)).value();
    Mapping writable = std::move(Mapping::read_write(file.get(), 4096)).value();
    const Mapping readable = std::move(Mapping::read_only(file.get(), 4096)).value();
    writable.span()[17] = std::byte{9};
    CHECK(readable.span()[17] == std::byte{9});
    CHECK(readable.bytes() == 4096);

    Mapping moved = std::move(writable);
    CHECK_FALSE(writable.valid());  // NOLINT(bugprone-use-after-move): that is what is tested.
    CHECK(moved.span()[17] == std::byte{9});
    moved.reset();
    moved.reset();
    CHECK_FALSE(moved.valid());
    CHECK_FALSE(Mapping::read_only(file.get(), 0).ok());
    CHECK_FALSE(Mapping::read_only(-1, 4096).ok());
}
