#include "cli/values.h"

#include <doctest/doctest.h>

#include <string>

namespace rekindle::cli {

namespace {

constexpr int64_t kNow = 1'738'326'600'000;  // 2025-01-31T12:30:00Z

std::string derived(std::string_view path) {
    const auto name = derive_model_name(path);
    return name ? *name : "error: " + name.error().message;
}

std::string sum(std::string_view a, std::string_view b) {
    const auto added = add_amounts(a, b);
    return added ? *added : "error";
}

}  // namespace

TEST_CASE("a model's name is made of its file's name") {
    CHECK(derived("/models/SmolLM2-135M-Instruct.Q4_1.gguf") == "smollm2-135m-instruct.q4_1");
    CHECK(derived("tiny.GGUF") == "tiny");
    CHECK(derived("My Model (v2).gguf") == "my-model-v2");
    CHECK(derived("__odd--name!!.gguf") == "odd-name");
    CHECK(derived("plain") == "plain");
    CHECK(derived(std::string(80, 'a') + ".gguf") == std::string(63, 'a'));
}

TEST_CASE("a file's name without any usable character asks for --name") {
    CHECK(derived("/x/\xE6\xA8\xA1\xE5\x9E\x8B.gguf").find("--name") != std::string::npos);
    CHECK(derived("/x/.gguf").find("--name") != std::string::npos);
}

TEST_CASE("model names are 1 to 63 of the allowed characters and begin with a letter or digit") {
    CHECK(is_model_name("a"));
    CHECK(is_model_name("0.a_b-c"));
    CHECK(is_model_name(std::string(63, 'x')));
    CHECK_FALSE(is_model_name(""));
    CHECK_FALSE(is_model_name(std::string(64, 'x')));
    CHECK_FALSE(is_model_name("-a"));
    CHECK_FALSE(is_model_name("A"));
    CHECK_FALSE(is_model_name("a/b"));
    CHECK_FALSE(check_model_name("a b"));
}

TEST_CASE("moments are durations before now, UTC dates and times, or now") {
    CHECK(*parse_moment("now", kNow) == kNow);
    CHECK(*parse_moment("24h", kNow) == kNow - 86'400'000);
    CHECK(*parse_moment("90", kNow) == kNow - 90'000);
    CHECK(*parse_moment("2025-01-31", kNow) == 1'738'281'600'000);
    CHECK(*parse_moment("2025-01-31T12:30:00Z", kNow) == kNow);
    CHECK(*parse_moment("2024-02-29", kNow) == 1'709'164'800'000);
}

TEST_CASE("what is no moment is refused with the ways to write one") {
    for (const char* text : {"", "yesterday", "2025-02-29", "2025-1-1", "2025-01-31T25:00:00Z",
                             "2025-01-31T12:30:00", "2025-01-31 12:30:00Z", "-5m"}) {
        CAPTURE(text);
        const auto moment = parse_moment(text, kNow);
        REQUIRE_FALSE(moment);
        CHECK(moment.error().code == ErrorCode::kInvalidArgument);
        CHECK(moment.error().message.find("2025-01-31T12:30:00Z") != std::string::npos);
    }
}

TEST_CASE("moments are shown in UTC") {
    CHECK(format_moment(kNow / 1000) == "2025-01-31 12:30");
    CHECK(format_moment(0) == "1970-01-01 00:00");
}

TEST_CASE("amounts add up exactly") {
    CHECK(sum("0", "0") == "0");
    CHECK(sum("0.1", "0.2") == "0.3");
    CHECK(sum("0.000000000001", "999999999999999999999999") ==
          "999999999999999999999999.000000000001");
    CHECK(sum("-0.5", "0.25") == "-0.25");
}

TEST_CASE("what is no amount is refused") {
    for (const char* text : {"", "-", "1e3", "0.0000000000001", "1,5", " 1", "."}) {
        CAPTURE(text);
        CHECK(sum(text, "1") == "error");
        CHECK(sum("1", text) == "error");
    }
    CHECK(sum("1" + std::string(24, '0'), "1") == "error");
}

}  // namespace rekindle::cli
