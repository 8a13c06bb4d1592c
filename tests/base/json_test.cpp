#include "base/json.h"

#include <doctest/doctest.h>

#include <string>

using namespace rekindle;  // NOLINT(google-build-using-namespace): a test.

namespace {

Result<json::value> parse(std::string_view text) {
    return parse_json(text, {});
}

std::string nested(size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
}

std::string message_of(std::string_view text) {
    const auto value = parse(text);
    return value.ok() ? "parsed" : value.error().message;
}

}  // namespace

TEST_CASE("well-formed JSON is parsed") {
    const auto value = parse(R"( {"a": [1, -2.5, true, null, "\u00e9\ud83d\ude00"], "b": {}} )");
    REQUIRE(value.ok());
    CHECK(value->as_object().at("a").as_array().size() == 5);
    CHECK(value->as_object().at("a").as_array()[4].as_string() == "é😀");
    CHECK(parse("3").ok());
    CHECK(parse("\"\"").ok());
}

TEST_CASE("nesting up to the limit is parsed, one more is refused") {
    JsonLimits limits{.depth_max = 8};
    CHECK(parse_json(nested(8), limits).ok());
    const auto deeper = parse_json(nested(9), limits);
    REQUIRE_FALSE(deeper.ok());
    CHECK(deeper.error().code == ErrorCode::kInvalidArgument);
    CHECK(parse(nested(64)).ok());
    CHECK_FALSE(parse(nested(65)).ok());
    CHECK_FALSE(parse(std::string(1'000'000, '[')).ok());
}

TEST_CASE("bytes up to the limit are parsed, one more is refused with both numbers") {
    JsonLimits limits{.bytes_max = 10};
    CHECK(parse_json("\"12345678\"", limits).ok());
    const auto longer = parse_json("\"123456789\"", limits);
    REQUIRE_FALSE(longer.ok());
    CHECK(longer.error().code == ErrorCode::kTooLarge);
    CHECK(longer.error().message == "JSON: 11 bytes, the limit is 10");
}

TEST_CASE("a key that stands twice in one object is refused, however it is written") {
    CHECK(message_of(R"({"a": 1, "b": 2, "a": 3})") ==
          "JSON: the key \"a\" stands twice in one object");
    CHECK(message_of(R"({"a": 1, "\u0061": 3})") ==
          "JSON: the key \"a\" stands twice in one object");
    CHECK(message_of(R"({"x": {"a": 1, "a": 1}})") ==
          "JSON: the key \"a\" stands twice in one object");
    CHECK(message_of(R"({"": 1, "": 1})") == "JSON: the key \"\" stands twice in one object");
    CHECK(parse(R"({"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]})").ok());
    const std::string long_key(10'000, 'k');
    CHECK_FALSE(parse("{\"" + long_key + "\":1,\"" + long_key + "\":1}").ok());
}

TEST_CASE("what is not JSON is refused") {
    for (const char* text : {"",
                             " ",
                             "{",
                             "[1,]",
                             "{\"a\":1,}",
                             "[1 2]",
                             "nul",
                             "NaN",
                             "Infinity",
                             "-",
                             "01",
                             "1.",
                             "// no\n1",
                             "/* no */1",
                             "{'a':1}",
                             "{a:1}",
                             "\"\t\"",
                             "\"\\x\"",
                             "\"\\ud800\"",
                             "\"\\udc00\"",
                             "1 1",
                             "{} {}",
                             "\xEF\xBB\xBF{}"}) {
        CAPTURE(text);
        const auto value = parse(text);
        REQUIRE_FALSE(value.ok());
        CHECK(value.error().code == ErrorCode::kInvalidArgument);
        CHECK(value.error().message.starts_with("JSON: "));
    }
}

TEST_CASE("strings that are not UTF-8 are refused") {
    for (const char* text : {"\"\xFF\"", "\"\xC0\x80\"", "\"\xED\xA0\x80\"", "\"\xF4\x90\x80\x80\"",
                             "\"\xC3\"", "{\"\xFF\": 1}"}) {
        CHECK_FALSE(parse(text).ok());
    }
}

TEST_CASE("a NUL inside the text does not end it") {
    CHECK_FALSE(parse(std::string_view("1\0", 2)).ok());
    CHECK_FALSE(parse(std::string_view("\"a\0b\"", 5)).ok());
    CHECK(parse(R"("a\u0000b")")->as_string().size() == 3);
}

TEST_CASE("members are typed; absent and null are nothing") {
    const json::object object =
        parse(R"({"s": "x", "b": true, "n": 1.5, "i": 7, "f": 7.0, "z": null,
                  "big": 9223372036854775808, "min": -9223372036854775808, "huge": 1e300})")
            ->as_object();
    CHECK(**get_string(object, "s") == "x");
    CHECK(**get_bool(object, "b"));
    CHECK(**get_number(object, "n") == 1.5);
    CHECK(**get_number(object, "i") == 7.0);
    CHECK(**get_integer(object, "i") == 7);
    CHECK(**get_integer(object, "f") == 7);
    CHECK(**get_integer(object, "min") == INT64_MIN);
    CHECK(*get_string(object, "z") == std::nullopt);
    CHECK(*get_integer(object, "absent") == std::nullopt);
    CHECK(get_string(object, "i").error().message == "i: must be a string");
    CHECK(get_bool(object, "i").error().message == "i: must be true or false");
    CHECK(get_number(object, "s").error().message == "s: must be a number");
    CHECK(get_integer(object, "n").error().message == "n: must be an integer");
    CHECK_FALSE(get_integer(object, "big").ok());
    CHECK_FALSE(get_integer(object, "huge").ok());
    CHECK_FALSE(get_integer(object, "s").ok());
    CHECK_FALSE(get_integer(object, "b").ok());
}

TEST_CASE("a number beyond a double is refused rather than infinite") {
    const auto value = parse("{\"n\": 1e999}");
    if (value.ok()) {
        CHECK_FALSE(get_number(value->as_object(), "n").ok());
    }
}
