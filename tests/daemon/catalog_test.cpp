#include "daemon/catalog.h"

#include "daemon/data_folder.h"

#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <stdlib.h>

using namespace rekindle;          // NOLINT(google-build-using-namespace): test file.
using namespace rekindle::daemon;  // NOLINT(google-build-using-namespace): test file.

namespace {

struct TempFolder {
    std::string path;
    TempFolder() {
        char name[] = "/tmp/rekindle-catalog-XXXXXX";
        path = ::mkdtemp(name);
    }
    TempFolder(const TempFolder&) = delete;
    TempFolder& operator=(const TempFolder&) = delete;
    ~TempFolder() { std::filesystem::remove_all(path); }
};

DeploymentRecord sample(const std::string& name, const std::string& more = "", char image = 'a') {
    const auto manifest =
        api::parse_manifest("rekindle: 1\nname: " + name + "\nmodel: m.gguf\n" + more);
    REQUIRE_MESSAGE(manifest.ok(), manifest.error().message);
    auto record = make_record(*manifest, std::string(64, image));
    REQUIRE(record.ok());
    record->created_unix_s = 1'700'000'000;
    record->architecture = "llama";
    record->context_max = 2048;
    return std::move(record).value();
}

std::string price(int number) {
    return "price: {per_mtok: {input: \"" + std::to_string(number) + "\"}}\n";
}

Catalog opened(const TempFolder& folder) {
    auto catalog = Catalog::open(folder.path);
    REQUIRE_MESSAGE(catalog.ok(), catalog.error().message);
    return std::move(catalog).value();
}

// As rekindled 0.1 wrote it.
constexpr const char* kFirstVersion =
    R"({"rekindle_deployment":1,"name":"old","image":"IMAGE","price_input":"0.050",)"
    R"("price_output":"0.2","price_cached":"0","currency":"EUR","idle_ms":90000,)"
    R"("context":100000,"created_unix_s":1700000000,"architecture":"llama",)"
    R"("image_bytes":98566144,"context_max":8192})";

void write_first_version(const TempFolder& folder) {
    std::string text = kFirstVersion;
    text.replace(text.find("IMAGE"), 5, std::string(64, 'a'));
    std::ofstream(folder.path + "/old.json") << text;
}

}  // namespace

TEST_CASE("deployments survive reopening, in order of their names") {
    const TempFolder folder;
    {
        Catalog catalog = opened(folder);
        for (const char* name : {"b", "a", "c"}) {
            REQUIRE(catalog.put(sample(name, "scale: {idle: 1m}\n")).ok());
        }
        REQUIRE(catalog.remove("c").ok());
    }
    const Catalog catalog = opened(folder);
    REQUIRE(catalog.entries().size() == 2);
    CHECK(catalog.entries()[0].current.name == "a");
    const DeploymentRecord& kept = catalog.entries()[1].current;
    CHECK(kept.manifest.idle == std::chrono::minutes(1));
    CHECK(kept.revision == sample("b", "scale: {idle: 60s}\n").revision);
    CHECK(kept.source == "m.gguf");
    CHECK(kept.manifest.image() == std::string(64, 'a'));
    CHECK(catalog.uses_image(std::string(64, 'a')));
    CHECK_FALSE(catalog.uses_image(std::string(64, 'b')));
}

TEST_CASE("a new revision keeps the ones before it, up to the limit, and their images") {
    const TempFolder folder;
    Catalog catalog = opened(folder);
    for (int i = 0; i <= static_cast<int>(kHistoryMax); ++i) {
        REQUIRE(catalog.put(sample("a", price(i), static_cast<char>('a' + i))).ok());
    }
    CHECK(catalog.find("a")->history.size() == kHistoryMax);
    CHECK(catalog.uses_image(std::string(64, 'a')));
    REQUIRE(catalog.put(sample("a", price(99), '9')).ok());
    CHECK(catalog.find("a")->history.size() == kHistoryMax);
    CHECK_FALSE(catalog.uses_image(std::string(64, 'a')));  // The oldest dropped out.
    const Catalog again = opened(folder);
    CHECK(again.find("a")->current.manifest.price_input == "99");
    CHECK(again.find("a")->history.front().manifest.price_input == std::to_string(kHistoryMax));
    CHECK(again.find("a")->history.back().manifest.price_input == "1");
}

TEST_CASE("a revision that comes back leaves the history") {
    const TempFolder folder;
    Catalog catalog = opened(folder);
    for (const int number : {1, 2, 1, 1}) {
        REQUIRE(catalog.put(sample("a", price(number))).ok());
    }
    REQUIRE(catalog.find("a")->history.size() == 1);
    CHECK(catalog.find("a")->history.front().manifest.price_input == "2");
}

TEST_CASE("a record of the first version is read, its revision kept, its context made true") {
    const TempFolder folder;
    write_first_version(folder);
    Catalog catalog = opened(folder);
    const DeploymentRecord& record = catalog.entries().at(0).current;
    // SHA-256 of what version 1 digested.
    CHECK(record.revision == "bb8259b6c1e0c60e0bcf58e3a57727e432918ee446089ab72e63d5e1f0c2523b");
    CHECK(record.manifest.price_input == "0.05");
    CHECK(record.manifest.currency == "EUR");
    CHECK(record.manifest.idle == std::chrono::seconds(90));
    CHECK(record.manifest.context == 8192);
    CHECK(record.context_max == 8192);
    CHECK(record.image_bytes == 98'566'144);
    const std::string revision = record.revision;
    REQUIRE(catalog.put(sample("old")).ok());
    CHECK(opened(folder).entries().at(0).history.at(0).revision == revision);
}

TEST_CASE("a file that a crash left half written is no deployment") {
    const TempFolder folder;
    std::ofstream(folder.path + "/x.json.new") << "{\"rekin";
    CHECK(opened(folder).entries().empty());
}

TEST_CASE("a damaged record stops the start and is named") {
    for (const char* text :
         {"{\"rekindle_deployment\": 1, \"name\": \"x\"}", "{\"rekindle_deployment\": 2}", "[]",
          "{", R"({"rekindle_deployment":2,"current":{"manifest":{"rekindle":1}},"history":[]})"}) {
        const TempFolder folder;
        std::ofstream(folder.path + "/x.json") << text;
        const auto catalog = Catalog::open(folder.path);
        REQUIRE_FALSE(catalog.ok());
        CHECK(catalog.error().message.find("x.json") != std::string::npos);
    }
}

TEST_CASE("a record of a later version is refused rather than misread") {
    const TempFolder folder;
    std::ofstream(folder.path + "/x.json") << "{\"rekindle_deployment\": 3}";
    CHECK(Catalog::open(folder.path).error().code == ErrorCode::kUnsupported);
}

TEST_CASE("aliases stand for one deployment, by hand or in its manifest, and never hide one") {
    const TempFolder folder;
    Catalog catalog = opened(folder);
    REQUIRE(catalog.put(sample("a", "aliases: [one]\n")).ok());
    REQUIRE(catalog.put(sample("b")).ok());
    CHECK(catalog.resolve("one") == "a");
    CHECK(catalog.resolve("none").empty());
    CHECK(catalog.set_alias("two", "b").ok());
    CHECK(catalog.resolve("two") == "b");
    CHECK(catalog.set_alias("two", "a").ok());  // By hand it may be moved.
    CHECK(catalog.resolve("two") == "a");
    CHECK(catalog.set_alias("one", "b").error().code == ErrorCode::kConflict);
    CHECK(catalog.set_alias("a", "b").error().code == ErrorCode::kConflict);
    CHECK(catalog.set_alias("x", "nothing").error().code == ErrorCode::kNotFound);
    CHECK(catalog.set_alias("X!", "a").error().code == ErrorCode::kInvalidArgument);
    CHECK(catalog.remove_alias("one").error().code == ErrorCode::kConflict);
    CHECK(catalog.remove_alias("three").error().code == ErrorCode::kNotFound);
    CHECK(catalog.put(sample("two")).error().code == ErrorCode::kConflict);
    CHECK(catalog.put(sample("c", "aliases: [two]\n")).error().code == ErrorCode::kConflict);
    CHECK(catalog.put(sample("c", "aliases: [b]\n")).error().code == ErrorCode::kConflict);
    CHECK(catalog.entries().size() == 2);
    const Catalog again = opened(folder);
    REQUIRE(again.aliases().size() == 2);
    CHECK(again.aliases()[0].by_manifest);
    CHECK(again.aliases()[1].alias == "two");
    CHECK(catalog.remove_alias("two").ok());
    CHECK(catalog.resolve("two").empty());
}

TEST_CASE("aliases go with their deployment and with the manifest that named them") {
    const TempFolder folder;
    Catalog catalog = opened(folder);
    REQUIRE(catalog.put(sample("a", "aliases: [one]\n")).ok());
    REQUIRE(catalog.set_alias("two", "a").ok());
    REQUIRE(catalog.put(sample("a")).ok());
    CHECK(catalog.resolve("one").empty());
    CHECK(catalog.resolve("two") == "a");
    REQUIRE(catalog.remove("a").ok());
    REQUIRE(catalog.put(sample("a")).ok());
    CHECK(opened(folder).resolve("two").empty());
}

TEST_CASE("aliases by hand have a limit") {
    const TempFolder folder;
    Catalog catalog = opened(folder);
    REQUIRE(catalog.put(sample("a")).ok());
    for (size_t i = 0; i < kHandAliasesMax; ++i) {
        REQUIRE(catalog.set_alias("x" + std::to_string(i), "a").ok());
    }
    CHECK(catalog.set_alias("y", "a").error().code == ErrorCode::kTooLarge);
    CHECK(catalog.set_alias("x0", "a").ok());
}

TEST_CASE("a data folder belongs to one rekindled at a time") {
    const TempFolder folder;
    const auto first = DataFolder::open(folder.path);
    REQUIRE(first.ok());
    const auto second = DataFolder::open(folder.path);
    REQUIRE_FALSE(second.ok());
    CHECK(second.error().code == ErrorCode::kConflict);
}
