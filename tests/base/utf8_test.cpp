#include "base/utf8.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace rekindle;  // NOLINT(google-build-using-namespace): a test.

namespace {

std::string encoded(uint32_t codepoint) {
    std::string text;
    append_utf8(text, codepoint);
    return text;
}

bool is_scalar(uint32_t codepoint) {
    return codepoint <= 0x10FFFF && (codepoint < 0xD800 || codepoint > 0xDFFF);
}

}  // namespace

TEST_CASE("every code point reads back from its encoding, and surrogates do not") {
    for (uint32_t codepoint = 0; codepoint <= 0x10FFFF; ++codepoint) {
        const std::string text = encoded(codepoint);
        const DecodedCodepoint decoded = decode_utf8(text);
        if (decoded.valid != is_scalar(codepoint) ||
            (decoded.valid && (decoded.codepoint != codepoint || decoded.bytes != text.size()))) {
            FAIL(codepoint);
        }
    }
}

TEST_CASE("lengths change exactly where RFC 3629 says") {
    CHECK(encoded(0x7F).size() == 1);
    CHECK(encoded(0x80).size() == 2);
    CHECK(encoded(0x7FF).size() == 2);
    CHECK(encoded(0x800).size() == 3);
    CHECK(encoded(0xFFFF).size() == 3);
    CHECK(encoded(0x10000).size() == 4);
    CHECK(encoded(0x10FFFF).size() == 4);
}

TEST_CASE("all sequences of one and two bytes are judged as RFC 3629's table does") {
    for (unsigned first = 0; first < 256; ++first) {
        CHECK(is_valid_utf8(std::string(1, static_cast<char>(first))) == (first < 0x80));
        for (unsigned second = 0; second < 256; ++second) {
            const std::string text{static_cast<char>(first), static_cast<char>(second)};
            const bool pair = first >= 0xC2 && first <= 0xDF && second >= 0x80 && second <= 0xBF;
            const bool two = first < 0x80 && second < 0x80;
            REQUIRE(is_valid_utf8(text) == (pair || two));
        }
    }
}

TEST_CASE(
    "all leads with all second bytes are judged as RFC 3629's table does, at three and four") {
    for (unsigned lead = 0xE0; lead < 256; ++lead) {
        for (unsigned second = 0; second < 256; ++second) {
            bool good = second >= 0x80 && second <= 0xBF && lead <= 0xF4;
            good = good && (lead != 0xE0 || second >= 0xA0);
            good = good && (lead != 0xED || second <= 0x9F);
            good = good && (lead != 0xF0 || second >= 0x90);
            good = good && (lead != 0xF4 || second <= 0x8F);
            std::string text{static_cast<char>(lead), static_cast<char>(second), '\x80'};
            if (lead >= 0xF0) {
                text += '\x80';
            }
            REQUIRE(is_valid_utf8(text) == good);
            for (const char wrong : {'\x7F', '\xC0'}) {
                text.back() = wrong;
                REQUIRE_FALSE(is_valid_utf8(text));
            }
        }
    }
}

TEST_CASE("an unfinished sequence at the end is left for later, a broken one is not") {
    for (const uint32_t codepoint :
         {0x80U, 0x7FFU, 0x800U, 0xD7FFU, 0xE000U, 0xFFFFU, 0x10000U, 0x10FFFFU}) {
        const std::string whole = encoded(codepoint);
        for (size_t cut = 0; cut <= whole.size(); ++cut) {
            const std::string text = "ab" + whole.substr(0, cut);
            const bool unfinished = cut > 0 && cut < whole.size();
            REQUIRE(complete_utf8_prefix(text) == (unfinished ? 2 : text.size()));
        }
    }
    CHECK(complete_utf8_prefix("") == 0);
    CHECK(complete_utf8_prefix("ab\xFF") == 3);
    CHECK(complete_utf8_prefix("ab\x80") == 3);
    CHECK(complete_utf8_prefix("ab\xE0\x80") == 4);      // Overlong: nothing completes it.
    CHECK(complete_utf8_prefix("ab\xED\xA0") == 4);      // A surrogate.
    CHECK(complete_utf8_prefix("ab\xF4\x90\x80") == 5);  // Above U+10FFFF.
    CHECK(complete_utf8_prefix("\xF0\x9F\x98") == 0);
}

TEST_CASE("a stream cut anywhere gives the same text as the whole") {
    const std::string text =
        "aé😀\xFFz\xE2\x82"
        "b\xF0\x9F";
    for (size_t cut = 0; cut <= text.size(); ++cut) {
        std::string pending = text.substr(0, cut);
        const size_t whole = complete_utf8_prefix(pending);
        std::string out = sanitize_utf8(pending.substr(0, whole));
        out += sanitize_utf8(pending.substr(whole) + text.substr(cut));
        REQUIRE(out == sanitize_utf8(text));
    }
}

TEST_CASE("each maximal broken part becomes one U+FFFD, as the WHATWG decoder does") {
    const std::string mark = "\xEF\xBF\xBD";
    CHECK(sanitize_utf8("plain") == "plain");
    CHECK(sanitize_utf8("a\xFF"
                        "b") == "a" + mark + "b");
    CHECK(sanitize_utf8("\xC0\x80") == mark + mark);
    CHECK(sanitize_utf8("\xE2\x82") == mark);
    CHECK(sanitize_utf8("\xE2\x82"
                        "a") == mark + "a");
    CHECK(sanitize_utf8("\xF0\x9F\x98") == mark);
    CHECK(sanitize_utf8("\xED\xA0\x80") == mark + mark + mark);
    CHECK(sanitize_utf8("\xF0\x80\x80\x80") == mark + mark + mark + mark);
    CHECK(sanitize_utf8("\xF4\x90\x80\x80") == mark + mark + mark + mark);
    CHECK(is_valid_utf8(sanitize_utf8("\xF8\x88\x80\x80\x80")));
}
