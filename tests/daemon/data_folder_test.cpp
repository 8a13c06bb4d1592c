#include "daemon/data_folder.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

using namespace rekindle;          // NOLINT(google-build-using-namespace): test file.
using namespace rekindle::daemon;  // NOLINT(google-build-using-namespace): test file.

namespace {

struct TemporaryFolder {
    TemporaryFolder() {
        char name[] = "/tmp/rekindle_data_XXXXXX";
        path = ::mkdtemp(name);
    }

    ~TemporaryFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
    }

    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;

    void mark(std::string_view text) const { REQUIRE(write_file_durably(path + "/format", text)); }

    std::string path;
};

}  // namespace

TEST_CASE("a new data folder is marked with its version, and opens again") {
    const TemporaryFolder folder;
    REQUIRE(DataFolder::open(folder.path + "/data"));
    CHECK(read_small_file(folder.path + "/data/format", 64).value() ==
          "rekindle data folder, version 1\n");
    CHECK(DataFolder::open(folder.path + "/data"));
}

TEST_CASE("a data folder from before there were marks gets one") {
    const TemporaryFolder folder;
    std::filesystem::create_directory(folder.path + "/ledger");
    CHECK(DataFolder::open(folder.path));
    CHECK(std::filesystem::exists(folder.path + "/format"));
}

TEST_CASE("what a killed backup left is removed") {
    const TemporaryFolder folder;
    std::filesystem::create_directories(folder.path + "/backup.tmp/records");
    CHECK(DataFolder::open(folder.path));
    CHECK_FALSE(std::filesystem::exists(folder.path + "/backup.tmp"));
}

TEST_CASE("a data folder of a newer rekindled is left alone") {
    const TemporaryFolder folder;
    folder.mark("rekindle data folder, version 2\n");
    const auto refused = DataFolder::open(folder.path);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::kUnsupported);
    CHECK(refused.error().message.find("version 2") != std::string::npos);
    CHECK(read_small_file(folder.path + "/format", 64).value() ==
          "rekindle data folder, version 2\n");
}

TEST_CASE("a mark that says nothing is corrupt") {
    const TemporaryFolder folder;
    for (const std::string text :
         {"", "rekindle data folder, version 1", "rekindle data folder, version \n",
          "rekindle data folder, version 0\n", "rekindle data folder, version 1x\n",
          "rekindle data folder, version 99999999999\n"}) {
        CAPTURE(text);
        folder.mark(text);
        CHECK(DataFolder::open(folder.path).error().code == ErrorCode::kCorrupt);
    }
}

TEST_CASE("a data folder belongs to one process at a time") {
    const TemporaryFolder folder;
    const auto first = DataFolder::open(folder.path);
    REQUIRE(first);
    CHECK(DataFolder::open(folder.path).error().code == ErrorCode::kConflict);
}
