// Disks that are full: a file size limit everywhere, and a small tmpfs where the test may mount
// one.
#include "base/unique_fd.h"
#include "base/units.h"
#include "tests/loader/temp_store.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

using namespace rekindle;  // NOLINT(google-build-using-namespace): a test.
using test::random_bytes;

namespace {

class SmallDisk {
public:
    explicit SmallDisk(uint64_t bytes) {
        const std::string size = fmt::format("size={}", bytes);
        mounted_ = ::mount("tmpfs", folder_.path().c_str(), "tmpfs", MS_NODEV, size.c_str()) == 0;
        if (!mounted_) {
            MESSAGE("skipped: a tmpfs cannot be mounted here: ", std::strerror(errno));
        }
    }

    SmallDisk(const SmallDisk&) = delete;
    SmallDisk& operator=(const SmallDisk&) = delete;

    ~SmallDisk() {
        if (mounted_) {
            ::umount2(folder_.path().c_str(), MNT_DETACH);
        }
    }

    bool mounted() const noexcept { return mounted_; }

    std::string store() const { return folder_.path() + "/store"; }

    std::string ballast() const { return folder_.path() + "/ballast"; }

    // Takes all space that is left.
    void fill() const {
        const UniqueFd fd(::open(ballast().c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600));
        const auto block = random_bytes(4096, 1);
        while (write_all(fd.get(), block).ok()) {
        }
    }

    void empty() const { REQUIRE(::unlink(ballast().c_str()) == 0); }

private:
    test::TempFolder folder_;
    bool mounted_ = false;
};

class FileSizeLimit {
public:
    explicit FileSizeLimit(rlim_t bytes) {
        handler_ = std::signal(SIGXFSZ, SIG_IGN);
        REQUIRE(::getrlimit(RLIMIT_FSIZE, &before_) == 0);
        const rlimit limit{.rlim_cur = bytes, .rlim_max = before_.rlim_max};
        REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
    }

    FileSizeLimit(const FileSizeLimit&) = delete;
    FileSizeLimit& operator=(const FileSizeLimit&) = delete;

    ~FileSizeLimit() {
        ::setrlimit(RLIMIT_FSIZE, &before_);
        std::signal(SIGXFSZ, handler_);
    }

private:
    rlimit before_{};
    void (*handler_)(int) = nullptr;
};

}  // namespace

TEST_CASE("a put that does not fit leaves the pack as it was") {
    const test::TempFolder folder;
    auto store = test::open_store(folder.path());
    const auto image = test::deploy_image(*store, {.chunk_bytes = {64 * kKiB}}, 1);
    {
        const FileSizeLimit limit(100 * kKiB);
        CHECK_FALSE(store->put(random_bytes(64 * kKiB, 2), false).ok());
        CHECK(test::file_size(test::pack_files(folder.path())[0]) == 64 * kKiB);
    }
    CHECK(test::readable(*store, image.digest));
    test::deploy_image(*store, {.chunk_bytes = {64 * kKiB}}, 2);
    CHECK(test::file_size(test::pack_files(folder.path())[0]) == 128 * kKiB);
}

TEST_CASE("a full disk is reported as such and frees everything of the deploy") {
    const SmallDisk disk(24 * kMiB);
    if (!disk.mounted()) {
        return;
    }
    auto store = test::open_store(disk.store());
    const auto image = test::deploy_image(*store, {.chunk_bytes = {1 * kMiB}}, 1);
    const std::string pack = test::pack_files(disk.store())[0];
    uint64_t seed = 100;
    auto put = store->put(random_bytes(1 * kMiB, seed), false);
    while (put) {
        put = store->put(random_bytes(1 * kMiB, ++seed), false);
    }
    CHECK(put.error().code == ErrorCode::kNoSpace);
    store->rollback();

    CHECK(test::file_size(pack) == 1 * kMiB);
    CHECK(test::readable(*store, image.digest));
    const auto after = test::deploy_image(*store, {.chunk_bytes = {1 * kMiB}}, 2);
    CHECK(test::readable(*store, after.digest));
}

TEST_CASE("an image whose index does not fit is taken back, and works once there is space") {
    const SmallDisk disk(24 * kMiB);
    if (!disk.mounted()) {
        return;
    }
    auto store = test::open_store(disk.store());
    const auto image = test::deploy_image(*store, {.chunk_bytes = {64 * kKiB}}, 1);
    const std::string pack = test::pack_files(disk.store())[0];
    // Larger than what the index's log has reserved ahead.
    const auto chunk = store->put(random_bytes(64 * kKiB, 5), false).value();
    std::string importer = test::importer_index({chunk});
    importer.insert(1, fmt::format(R"("ballast": "{}", )", std::string(8 * kMiB, 'x')));
    const std::string index = loader::finish_image_index(importer, {chunk}).value();
    const std::string digest = loader::image_digest(index).value();
    REQUIRE(store->commit().ok());
    disk.fill();
    const Result<void> added = store->add_image(digest, index);
    REQUIRE_FALSE(added.ok());
    CHECK(added.error().code == ErrorCode::kNoSpace);
    CHECK_FALSE(store->image_index(digest).ok());
    CHECK(test::readable(*store, image.digest));

    disk.empty();
    const auto after = test::deploy_image(*store, {.chunk_bytes = {64 * kKiB}}, 2);
    CHECK(test::readable(*store, after.digest));
    CHECK(store->collect().value() == 64 * kKiB);  // The chunk of the image that was refused.
    CHECK(test::file_size(pack) == 3 * 64 * kKiB);
    store.reset();
    store = test::open_store(disk.store());
    CHECK_FALSE(store->image_index(digest).ok());
    CHECK(store->stored_bytes() == 2 * 64 * kKiB);
    CHECK(test::readable(*store, image.digest));
    CHECK(test::readable(*store, after.digest));
}
