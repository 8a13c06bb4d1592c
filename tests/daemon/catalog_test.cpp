#include "daemon/catalog.h"

#include "daemon/data_folder.h"

#include <doctest/doctest.h>

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

DeploymentRecord sample(const std::string& name) {
    return DeploymentRecord{.name = name,
                            .image = std::string(64, 'a'),
                            .price_input = "0.05",
                            .idle_ms = 60'000,
                            .created_unix_s = 1'700'000'000,
                            .architecture = "llama"};
}

}  // namespace

TEST_CASE("deployments survive reopening, in order of their names") {
    const TempFolder folder;
    {
        auto catalog = Catalog::open(folder.path);
        REQUIRE(catalog.ok());
        REQUIRE(catalog->put(sample("b")).ok());
        REQUIRE(catalog->put(sample("a")).ok());
        REQUIRE(catalog->put(sample("c")).ok());
        REQUIRE(catalog->remove("c").ok());
    }
    const auto catalog = Catalog::open(folder.path);
    REQUIRE(catalog.ok());
    REQUIRE(catalog->records().size() == 2);
    CHECK(catalog->records()[0].name == "a");
    CHECK(catalog->records()[1].idle_ms == 60'000);
    CHECK(catalog->records()[1].revision() == sample("b").revision());
    CHECK(catalog->uses_image(std::string(64, 'a')));
    CHECK_FALSE(catalog->uses_image(std::string(64, 'b')));
}

TEST_CASE("a file that a crash left half written is no deployment") {
    const TempFolder folder;
    std::ofstream(folder.path + "/x.json.new") << "{\"rekin";
    const auto catalog = Catalog::open(folder.path);
    REQUIRE(catalog.ok());
    CHECK(catalog->records().empty());
}

TEST_CASE("a damaged record stops the start and is named") {
    const TempFolder folder;
    std::ofstream(folder.path + "/x.json") << "{\"rekindle_deployment\": 1, \"name\": \"x\"}";
    const auto catalog = Catalog::open(folder.path);
    REQUIRE_FALSE(catalog.ok());
    CHECK(catalog.error().message.find("x.json") != std::string::npos);
}

TEST_CASE("a record of a later version is refused rather than misread") {
    const TempFolder folder;
    std::ofstream(folder.path + "/x.json") << "{\"rekindle_deployment\": 2}";
    CHECK(Catalog::open(folder.path).error().code == ErrorCode::kUnsupported);
}

TEST_CASE("the revision changes with what a person chose and with nothing else") {
    const DeploymentRecord record = sample("a");
    DeploymentRecord other_price = record;
    other_price.price_output = "1";
    DeploymentRecord other_time = record;
    other_time.created_unix_s += 1;
    CHECK(record.revision() != other_price.revision());
    CHECK(record.revision() == other_time.revision());
}

TEST_CASE("deployment names are safe as file names") {
    CHECK(is_deployment_name("smollm2-135m.q4_1"));
    CHECK(is_deployment_name(std::string(63, 'a')));
    CHECK_FALSE(is_deployment_name(std::string(64, 'a')));
    CHECK_FALSE(is_deployment_name(""));
    CHECK_FALSE(is_deployment_name("../x"));
    CHECK_FALSE(is_deployment_name(".hidden"));
    CHECK_FALSE(is_deployment_name("Upper"));
    CHECK_FALSE(is_deployment_name("a/b"));
}

TEST_CASE("a data folder belongs to one rekindled at a time") {
    const TempFolder folder;
    const auto first = DataFolder::open(folder.path);
    REQUIRE(first.ok());
    const auto second = DataFolder::open(folder.path);
    REQUIRE_FALSE(second.ok());
    CHECK(second.error().code == ErrorCode::kConflict);
}
