#include "scheduler/batch/ngram_index.h"

#include "base/random.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <span>
#include <vector>

using namespace rekindle;  // NOLINT(google-build-using-namespace): a test of one library.
using runtime::TokenId;
using scheduler::guess_from;
using scheduler::NgramIndex;

namespace {

std::vector<TokenId> guesses(std::span<const TokenId> text, uint32_t count) {
    NgramIndex index;
    index.extend(text);
    std::vector<TokenId> out;
    guess_from(index.find(text), text, count, out);
    return out;
}

}  // namespace

TEST_CASE("what followed the last tokens before is guessed to follow again") {
    const std::vector<TokenId> text{1, 2, 3, 4, 5, 6, 7, 8, 1, 2};
    CHECK(guesses(text, 4) == std::vector<TokenId>{3, 4, 5, 6});
}

TEST_CASE("tokens that were never seen, or one token alone, give no guess") {
    CHECK(guesses(std::vector<TokenId>{1, 2, 3, 4, 5}, 4).empty());
    CHECK(guesses(std::vector<TokenId>{9, 1, 2, 9}, 4).empty());
    CHECK(guesses(std::vector<TokenId>{9}, 4).empty());
    CHECK(guesses({}, 4).empty());
}

TEST_CASE("four tokens alike go before the latest two") {
    const std::vector<TokenId> text{1, 2, 3, 4, 50, 9, 3, 4, 60, 9, 1, 2, 3, 4};
    CHECK(guesses(text, 1) == std::vector<TokenId>{50});
}

TEST_CASE("a text that repeats itself is guessed beyond its end") {
    const std::vector<TokenId> text{7, 1, 2, 3, 1, 2, 3, 1, 2};
    CHECK(guesses(text, 7) == std::vector<TokenId>{3, 1, 2, 3, 1, 2, 3});
}

TEST_CASE("a match says how many tokens are alike, up to its limit") {
    NgramIndex index;
    std::vector<TokenId> text;
    for (TokenId i = 0; i < 40; ++i) {
        text.push_back(i);
    }
    for (TokenId i = 0; i < 20; ++i) {
        text.push_back(i);
        index.extend(text);
        const uint32_t length = index.find(text).length;
        CHECK(length ==
              (i == 0 ? 0U : std::min(static_cast<uint32_t>(i) + 1, NgramIndex::kMatchMax)));
    }
}

TEST_CASE("a text taken in token by token gives the guesses of one taken in at once") {
    std::vector<TokenId> text;
    NgramIndex grown;
    for (uint64_t i = 0; i < 3000; ++i) {
        text.push_back(static_cast<TokenId>(counter_random(1, 2, i) % 12));
        grown.extend(text);
        if (i % 97 == 0) {
            std::vector<TokenId> out;
            guess_from(grown.find(text), text, 5, out);
            CHECK(out == guesses(text, 5));
        }
    }
}

TEST_CASE("a text longer than the index keeps the latest places") {
    NgramIndex index;
    std::vector<TokenId> text;
    for (uint32_t i = 0; i < 3 * NgramIndex::kSlotsMax; ++i) {
        text.push_back(static_cast<TokenId>(i));
    }
    text.push_back(text[text.size() - 60]);
    text.push_back(text[text.size() - 60]);
    index.extend(text);
    const NgramIndex::Match match = index.find(text);
    CHECK(match.length == 2);
    CHECK(match.next == text.size() - 60);
}
