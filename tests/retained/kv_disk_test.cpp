#include "snapshot/retained/kv_disk.h"

#include "tests/retained/retained_fixture.h"

#include <doctest/doctest.h>

#include <csignal>
#include <fcntl.h>
#include <fstream>
#include <sys/resource.h>
#include <sys/stat.h>

using namespace rekindle;  // NOLINT(google-build-using-namespace): a test.
using snapshot::KvDisk;
using snapshot::KvFiles;
using test::filled;
using test::Folder;
using test::right_pages;

namespace {

constexpr uint64_t kMuch = 10 * kMiB;

KvFiles empty() {
    return KvFiles::create(test::kMemory).value();
}

std::string file_of(const Folder& folder, const std::string& name) {
    return folder.path + "/kv/" + name + ".kv";
}

KvDisk open(const Folder& folder, uint64_t bytes_max = kMuch) {
    return KvDisk::open(folder.path + "/kv", bytes_max).value();
}

// Seconds since the epoch at which the file was used.
void set_used(const std::string& path, int64_t seconds) {
    const timespec times[2] = {{.tv_sec = seconds, .tv_nsec = 0},
                               {.tv_sec = seconds, .tv_nsec = 0}};
    REQUIRE(::utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
}

void flip_bit(const std::string& path, uint64_t offset) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(offset));
    const int byte = file.get();
    file.seekp(static_cast<std::streamoff>(offset));
    file.put(static_cast<char>(byte ^ 4));
}

}  // namespace

TEST_CASE("what was stored is read back, also by a later process") {
    const Folder folder;
    {
        KvDisk disk = open(folder);
        CHECK(disk.save("a", filled(5)).value() > 5 * test::kPageSize);
        CHECK(disk.bytes() == std::filesystem::file_size(file_of(folder, "a")));
    }
    KvDisk disk = open(folder);
    CHECK(disk.names() == std::vector<std::string>{"a"});
    const KvFiles back = empty();
    CHECK(disk.load("a", back).value() == 5);
    CHECK(right_pages(back) == 5);
    CHECK(disk.has("a"));  // It stays, for the next time.
}

TEST_CASE("only this user can read what prompts left on disk") {
    const Folder folder;
    KvDisk disk = open(folder);
    REQUIRE(disk.save("a", filled(1)).ok());
    struct stat facts{};
    REQUIRE(::stat(file_of(folder, "a").c_str(), &facts) == 0);
    CHECK((facts.st_mode & 0777) == 0600);
    REQUIRE(::stat((folder.path + "/kv").c_str(), &facts) == 0);
    CHECK((facts.st_mode & 0777) == 0700);
}

TEST_CASE("what is not there is not found, and what lists nothing is not stored") {
    const Folder folder;
    KvDisk disk = open(folder);
    CHECK(disk.load("a", empty()).error().code == ErrorCode::kNotFound);
    CHECK(disk.save("a", filled(0)).value() == 0);
    CHECK_FALSE(disk.has("a"));
}

TEST_CASE("a torn file is refused and removed, wherever it ends") {
    const Folder folder;
    KvDisk disk = open(folder);
    REQUIRE(disk.save("a", filled(3)).ok());
    const uint64_t whole = std::filesystem::file_size(file_of(folder, "a"));
    for (const uint64_t bytes : {uint64_t{0}, uint64_t{100}, uint64_t{4096}, uint64_t{8192},
                                 whole - 4096, whole - 1, whole + 1}) {
        REQUIRE(disk.save("a", filled(3)).ok());
        std::filesystem::resize_file(file_of(folder, "a"), bytes);
        const KvFiles back = empty();
        CHECK(disk.load("a", back).error().code == ErrorCode::kCorrupt);
        CHECK(right_pages(back) == 0);
        CHECK_FALSE(disk.has("a"));
    }
}

TEST_CASE("a flipped bit is noticed, in the head and in every page") {
    const Folder folder;
    KvDisk disk = open(folder);
    // Magic, checksum, digest, sizes, a record; then the pages, which begin at 8192.
    for (const uint64_t offset : std::initializer_list<uint64_t>{0, 8, 20, 48, 64, 4096, 4300, 8192,
                                                                 8192 + 5999, 8192 + 2 * 8192}) {
        REQUIRE(disk.save("a", filled(3)).ok());
        flip_bit(file_of(folder, "a"), offset);
        const KvFiles back = empty();
        CHECK(disk.load("a", back).error().code == ErrorCode::kCorrupt);
        CHECK(right_pages(back) == 0);
        CHECK_FALSE(disk.has("a"));
    }
}

TEST_CASE("pages of another KV memory are refused") {
    const Folder folder;
    KvDisk disk = open(folder);
    REQUIRE(disk.save("a", filled(3)).ok());
    CHECK_FALSE(disk.load("a", KvFiles::create(test::kMemory * 2).value()).ok());
    CHECK_FALSE(disk.has("a"));
}

TEST_CASE("pages of another build are read back under their own key, which forgets them") {
    const Folder folder;
    KvDisk disk = open(folder);
    REQUIRE(disk.save("a", filled(3, /*build=*/1)).ok());
    const KvFiles back = empty();
    REQUIRE(disk.load("a", back).value() == 3);
    const Mapping table_memory = back.map_table().value();
    snapshot::KvTable table(table_memory.span());
    SUBCASE("the same build goes on with them") {
        table.open(test::key_of(1));
        CHECK(table.get(0).has_value());
    }
    SUBCASE("another one does not") {
        table.open(test::key_of(2));
        CHECK_FALSE(table.get(0).has_value());
    }
}

TEST_CASE("what a crash left unfinished is removed and never read") {
    const Folder folder;
    {
        KvDisk disk = open(folder);
        REQUIRE(disk.save("a", filled(3)).ok());
    }
    std::filesystem::rename(file_of(folder, "a"), file_of(folder, "a") + ".new");
    KvDisk disk = open(folder);
    CHECK_FALSE(disk.has("a"));
    CHECK(std::filesystem::is_empty(folder.path + "/kv"));
}

TEST_CASE("the file that was used longest ago makes room") {
    const Folder folder;
    uint64_t one = 0;
    {
        KvDisk disk = open(folder);
        one = disk.save("a", filled(4)).value();
    }
    KvDisk disk = open(folder, 2 * one);
    REQUIRE(disk.save("b", filled(4)).ok());
    set_used(file_of(folder, "a"), 1'000);
    set_used(file_of(folder, "b"), 2'000);
    SUBCASE("the one that was written first") {
        REQUIRE(disk.save("c", filled(4)).ok());
        CHECK(disk.names() == std::vector<std::string>{"b", "c"});
    }
    SUBCASE("unless it was read since") {
        REQUIRE(disk.load("a", empty()).ok());
        REQUIRE(disk.save("c", filled(4)).ok());
        CHECK(disk.names() == std::vector<std::string>{"a", "c"});
    }
    CHECK(disk.bytes() == 2 * one);
}

TEST_CASE("what is too much for the limit is cut to its best pages") {
    const Folder folder;
    const uint64_t two = [] {
        const Folder other;
        KvDisk disk = open(other);
        return disk.save("a", filled(2)).value();
    }();
    KvDisk disk = open(folder, two);
    CHECK(disk.save("a", filled(5)).value() == two);
    const KvFiles back = empty();
    CHECK(disk.load("a", back).value() == 2);
    CHECK(right_pages(back) == 2);
    const Mapping table_memory = back.map_table().value();
    CHECK(snapshot::KvTable(table_memory.span()).get(0).has_value());  // Where the text begins.
    KvDisk none = open(folder, 100);
    CHECK(none.save("b", filled(5)).value() == 0);
    CHECK(none.names().empty());
}

TEST_CASE("a write that fails leaves nothing behind, and other files as they are") {
    const Folder folder;
    KvDisk disk = open(folder);
    REQUIRE(disk.save("a", filled(1)).ok());
    const KvFiles eight = filled(8);
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
    const rlimit limit{.rlim_cur = 12 * kKiB, .rlim_max = before.rlim_max};
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
    const auto saved = disk.save("b", eight);
    ::setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, handler);
    CHECK_FALSE(saved.ok());
    CHECK(disk.names() == std::vector<std::string>{"a"});
    CHECK_FALSE(std::filesystem::exists(file_of(folder, "b") + ".new"));
    CHECK(disk.load("a", empty()).value() == 1);
}
