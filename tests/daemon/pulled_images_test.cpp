#include "daemon/pulled_images.h"

#include <doctest/doctest.h>

#include <filesystem>

using namespace rekindle;
using namespace rekindle::daemon;
using namespace std::chrono_literals;

namespace {

struct Fixture {
    Fixture() { std::filesystem::remove_all(path); }
    ~Fixture() { std::filesystem::remove_all(path); }

    std::filesystem::path path =
        std::filesystem::temp_directory_path() / "rekindle_pulled_images_test";
    PulledImages pulled{path.string()};
};

constexpr std::chrono::seconds kPulledAt = 1'700'000'000s;

}  // namespace

TEST_CASE_FIXTURE(Fixture, "a pulled image is kept for a week and no longer") {
    CHECK_FALSE(pulled.kept("a", kPulledAt));
    REQUIRE(pulled.add("a", kPulledAt).ok());
    CHECK(pulled.kept("a", kPulledAt));
    CHECK(pulled.kept("a", kPulledAt + kPulledKept - 1s));
    CHECK_FALSE(pulled.kept("a", kPulledAt + kPulledKept));
    CHECK_FALSE(pulled.kept("b", kPulledAt));
}

TEST_CASE_FIXTURE(Fixture,
                  "pulled again it is kept for another week; deployed it is no pulled one") {
    REQUIRE(pulled.add("a", kPulledAt).ok());
    REQUIRE(pulled.add("a", kPulledAt + kPulledKept).ok());
    CHECK(pulled.kept("a", kPulledAt + kPulledKept));
    pulled.remove("a");
    CHECK_FALSE(pulled.kept("a", kPulledAt));
    pulled.remove("a");
}
