#include "daemon/key_text.h"

#include <doctest/doctest.h>

#include <set>
#include <string>

using namespace rekindle;          // NOLINT(google-build-using-namespace): test file.
using namespace rekindle::daemon;  // NOLINT(google-build-using-namespace): test file.

TEST_CASE("a key's text is 78 characters that a secret scanner can tell") {
    SeededEntropy entropy(1);
    const ApiKey key = make_key(entropy);
    const std::string text = format_key(key);
    CHECK(text.size() == kKeyChars);
    CHECK(kKeyChars == 78);
    CHECK(text.starts_with("rekindle_" + key.id + "_"));
    const auto read = parse_key(text);
    REQUIRE(read);
    CHECK(read->id == key.id);
    CHECK(read->secret == key.secret);
}

TEST_CASE("no other text is a key: any character changed, added or missing") {
    SeededEntropy entropy(2);
    const std::string text = format_key(make_key(entropy));
    for (size_t i = 0; i < text.size(); ++i) {
        CAPTURE(i);
        std::string wrong = text;
        wrong[i] = wrong[i] == 'a' ? 'b' : 'a';
        CHECK_FALSE(parse_key(wrong));
        wrong[i] = static_cast<char>(text[i] - ('a' - 'A'));
        CHECK_FALSE(parse_key(wrong));
        CHECK_FALSE(parse_key(text.substr(0, i)));
    }
    CHECK_FALSE(parse_key(text + "a"));
    CHECK_FALSE(parse_key(""));
}

TEST_CASE("a refused text is not repeated") {
    const auto refused = parse_key("sk-somebodys-key-of-elsewhere");
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::kUnauthorized);
    CHECK(refused.error().message.find("elsewhere") == std::string::npos);
}

TEST_CASE("a thousand keys have a thousand ids and secrets") {
    SeededEntropy entropy(3);
    std::set<std::string> ids;
    std::set<std::string> texts;
    for (int i = 0; i < 1000; ++i) {
        const ApiKey key = make_key(entropy);
        ids.insert(key.id);
        texts.insert(format_key(key).substr(kKeyPrefix.size() + kKeyIdChars));
    }
    CHECK(ids.size() == 1000);
    CHECK(texts.size() == 1000);
}

TEST_CASE("a bearer token is taken out of its field") {
    CHECK(bearer_token("Bearer abc") == "abc");
    CHECK(bearer_token("bEARER   abc") == "abc");
    CHECK_FALSE(bearer_token("Bearer"));
    CHECK_FALSE(bearer_token("Bearer "));
    CHECK_FALSE(bearer_token("Bearer a b"));
    CHECK_FALSE(bearer_token("Bearerabc"));
    CHECK_FALSE(bearer_token("Basic abc"));
    CHECK_FALSE(bearer_token(""));
}

TEST_CASE("an id is ten characters of base32") {
    CHECK(is_key_id("abcdefgz27"));
    CHECK_FALSE(is_key_id("abcdefgz2"));
    CHECK_FALSE(is_key_id("abcdefgz277"));
    CHECK_FALSE(is_key_id("abcdefgz21"));
    CHECK_FALSE(is_key_id("Abcdefgz27"));
    CHECK_FALSE(is_key_id("../../../a"));
}
