#include "daemon/archive_reader.h"

#include "base/hash.h"
#include "base/json.h"
#include "daemon/backup.h"
#include "daemon/tar.h"

#include <boost/json/serialize.hpp>
#include <doctest/doctest.h>

#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

using namespace rekindle;          // NOLINT(google-build-using-namespace): test file.
using namespace rekindle::daemon;  // NOLINT(google-build-using-namespace): test file.

namespace {

using File = std::pair<std::string, std::string>;  // Name and content.

class Collect final : public ArchiveSink {
public:
    Result<void> begin(std::string_view name, uint64_t /*bytes*/) override {
        files.emplace_back(name, "");
        return {};
    }

    Result<void> part(std::span<const std::byte> bytes) override {
        files.back().second += as_text(bytes);
        return {};
    }

    Result<void> end() override { return {}; }

    std::vector<File> files;
};

std::string packed(const File& file) {
    const auto head = tar_head({.name = file.first, .bytes = file.second.size()});
    REQUIRE(head);
    return *head + file.second + std::string(tar_padding(file.second.size()), '\0');
}

constexpr const char* kBeginText = R"({"rekindle_backup":1})";

// An archive with these files after the first.
std::string archive_of(std::vector<File> files, const std::string& begin = kBeginText) {
    files.insert(files.begin(), File{std::string(kBackupBegin), begin});
    std::string out;
    json::array list;
    for (const File& file : files) {
        out += packed(file);
        list.push_back(
            json::array{file.first, file.second.size(), to_hex(sha256(as_bytes(file.second)))});
    }
    out += packed({std::string(kBackupEnd), json::serialize(json::object{{"files", list}})});
    return out + std::string(2 * kTarBlockBytes, '\0');
}

Result<void> read(const std::string& archive, ArchiveSink& sink) {
    auto file = create_memory_file("archive", 0);
    REQUIRE(file);
    REQUIRE(write_all(file->get(), as_bytes(archive)));
    REQUIRE(::lseek(file->get(), 0, SEEK_SET) == 0);
    return read_archive(file->get(), sink);
}

Error refusal(const std::string& archive) {
    Collect sink;
    const auto result = read(archive, sink);
    REQUIRE_FALSE(result);
    return result.error();
}

bool names(const Error& error, std::string_view what) {
    return error.message.find(what) != std::string::npos;
}

const std::vector<File> kFiles{{"keys/pepper", "0123"},
                               {"ledger/high_water", std::string(513, 'h')},
                               {"chunks/big", std::string(3'000'001, 'c')},
                               {"deployments/empty.json", ""}};

}  // namespace

TEST_CASE("an archive gives its files in order") {
    Collect sink;
    REQUIRE(read(archive_of(kFiles), sink));
    CHECK(sink.files == kFiles);
}

TEST_CASE("an archive that ends anywhere before its list does is not complete") {
    const std::string whole = archive_of({{"a", "content"}, {"b", std::string(600, 'b')}});
    const size_t enough = whole.size() - 2 * kTarBlockBytes;
    for (size_t bytes = 0; bytes < enough; bytes += 7) {
        CAPTURE(bytes);
        CHECK(refusal(whole.substr(0, bytes)).code == ErrorCode::kCorrupt);
    }
    Collect sink;
    CHECK(read(whole.substr(0, enough), sink));
}

TEST_CASE("a changed byte of any file is found, and the file is named") {
    const std::string whole = archive_of({{"first", "content"}, {"second", "other"}});
    std::string damaged = whole;
    damaged[whole.find("other")] = 'O';
    CHECK(names(refusal(damaged), "second is damaged"));
    damaged = whole;
    damaged[whole.find("content")] = 'C';
    CHECK(names(refusal(damaged), "first is damaged"));
    damaged = whole;
    damaged[whole.find("second")] = 'S';
    CHECK(names(refusal(damaged), "after first"));
}

TEST_CASE("a file more or less than the list says is found") {
    const std::string one = archive_of({{"a", "1"}});
    const std::string two = archive_of({{"a", "1"}, {"b", "2"}});
    const std::string begin = packed({std::string(kBackupBegin), kBeginText});
    CHECK(names(refusal(begin + packed({"x", "9"}) + one.substr(begin.size())), "x is damaged"));
    CHECK(names(refusal(begin + two.substr(begin.size() + packed({"a", "1"}).size())),
                "b is damaged"));
}

TEST_CASE("another version and other archives are refused") {
    CHECK(refusal(archive_of({}, R"({"rekindle_backup":2})")).code == ErrorCode::kUnsupported);
    CHECK(refusal(archive_of({}, R"({"rekindle_backup":"1"})")).code == ErrorCode::kCorrupt);
    CHECK(refusal(archive_of({}, "{}")).code == ErrorCode::kCorrupt);
    CHECK(refusal(archive_of({}, "[")).code == ErrorCode::kCorrupt);
    CHECK(names(refusal(packed({"other", "x"})), "no backup of Rekindle"));
    CHECK(names(refusal(std::string(1024, 'x')), "no backup of Rekindle"));
}

TEST_CASE("names that lead elsewhere are refused") {
    for (const char* name :
         {"../a", "a/../b", "/a", "a//b", "a/", ".", "a/.", "a b", "\xff", "a\\b"}) {
        CAPTURE(name);
        CHECK_FALSE(is_archive_name(name));
        CHECK(refusal(archive_of({{name, "x"}})).code == ErrorCode::kCorrupt);
    }
    CHECK_FALSE(is_archive_name(""));
    CHECK(is_archive_name("a"));
    CHECK(is_archive_name("ledger/records/000012.sst"));
    CHECK(is_archive_name("deployments/a..b"));
}
