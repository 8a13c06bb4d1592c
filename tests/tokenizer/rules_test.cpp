// Every rule of the pre-tokenizers matters: with any one of them broken, golden strings change. The
// rules stand in the table, so a broken one is made by changing a flag there.
#include "runtime/tokenizer/pre_tokenizer.h"
#include "runtime/tokenizer/table.h"
#include "tests/tokenizer/support.h"

#include <doctest/doctest.h>

#include <cstring>

namespace rekindle::test {
namespace {

using runtime::PreTokenizerRules;
using runtime::TableHeader;

OpenTokenizer with_broken_rules(std::string_view rule, uint32_t toggled_flags,
                                std::optional<uint32_t> digits_max) {
    auto compiled = runtime::compile_tokenizer(small_vocabulary(rule));
    REQUIRE(compiled.ok());
    std::vector<std::byte> table = std::move(compiled).value();
    TableHeader header;
    std::memcpy(&header, table.data(), sizeof header);
    header.rules.flags ^= toggled_flags;
    header.rules.digits_max = digits_max.value_or(header.rules.digits_max);
    std::memcpy(table.data(), &header, sizeof header);
    return open_table(std::move(table));
}

size_t texts_that_differ(const OpenTokenizer& tokenizer, std::string_view rule) {
    static const Golden golden = read_golden("small.jsonl");
    size_t differing = 0;
    for (const GoldenText& text : golden.texts) {
        for (const GoldenIds& expected : text.plain) {
            if (expected.rule == rule && tokenizer.encode(text.text, false) != expected.ids) {
                ++differing;
            }
        }
    }
    return differing;
}

struct Breakage {
    std::string_view rule;
    std::string_view what;
    uint32_t flags;
    std::optional<uint32_t> digits_max;
};

std::vector<std::string> pieces(std::string_view text, std::string_view rule) {
    const std::optional<PreTokenizerRules> rules = runtime::find_rules(rule);
    REQUIRE(rules.has_value());
    std::vector<std::string> out;
    while (!text.empty()) {
        const size_t bytes = runtime::PieceScanner(*rules).first_piece_bytes(text);
        out.emplace_back(text.substr(0, bytes));
        text.remove_prefix(bytes);
    }
    return out;
}

using Pieces = std::vector<std::string>;

}  // namespace

TEST_CASE("breaking any one rule changes the ids of golden strings") {
    using namespace runtime;  // NOLINT(google-build-using-namespace): the flags, in one test.
    const std::vector<Breakage> breakages{
        {"smollm", "digits", kDigitsAlone, {}},
        {"smollm", "spaces", kSpaceJoins, {}},
        {"smollm", "apostrophes", kContractions, {}},
        {"smollm", "apostrophes in capitals", kContractionsAnyCase, {}},
        {"smollm", "marks", kMarksAreLetters, {}},
        {"smollm", "newlines", kNewlinesEndRun, {}},
        {"smollm", "symbols before words", kSymbolJoinsWord, {}},
        {"gpt-2", "digits", kDigitsAlone, {}},
        {"gpt-2", "digits in threes", 0, 3},
        {"gpt-2", "spaces", kSpaceJoins, {}},
        {"gpt-2", "apostrophes", kContractions, {}},
        {"gpt-2", "marks", kMarksAreLetters, {}},
        {"gpt-2", "newlines", kNewlinesEndRun, {}},
        {"llama-bpe", "digits one by one", 0, 1},
        {"llama-bpe", "digits in any number", 0, 0},
        {"llama-bpe", "spaces", kSpaceJoins, {}},
        {"llama-bpe", "apostrophes", kContractions, {}},
        {"llama-bpe", "apostrophes in capitals", kContractionsAnyCase, {}},
        {"llama-bpe", "marks", kMarksAreLetters, {}},
        {"llama-bpe", "newlines", kNewlinesEndRun, {}},
        {"llama-bpe", "symbols before words", kSymbolJoinsWord, {}},
        {"qwen2", "digits in threes", 0, 3},
        {"qwen2", "newlines", kNewlinesEndRun, {}},
        {"qwen35", "marks", kMarksAreLetters, {}},
    };
    for (const Breakage& breakage : breakages) {
        CHECK(texts_that_differ(with_broken_rules(breakage.rule, 0, {}), breakage.rule) == 0);
        const OpenTokenizer broken =
            with_broken_rules(breakage.rule, breakage.flags, breakage.digits_max);
        CHECK_MESSAGE(texts_that_differ(broken, breakage.rule) > 0, breakage.rule,
                      std::string(": "), breakage.what);
    }
}

TEST_CASE("smollm cuts every digit off, and leaves the space before it alone") {
    CHECK(pieces("a 12b", "smollm") == Pieces{"a", " ", "1", "2", "b"});
    CHECK(pieces("x  1", "smollm") == Pieces{"x", "  ", "1"});
    CHECK(pieces("x  y", "smollm") == Pieces{"x", " ", " y"});
    CHECK(pieces("½٣", "smollm") == Pieces{"½", "٣"});
}

TEST_CASE("llama-bpe takes digits in threes and newlines with the symbols before them") {
    CHECK(pieces("1234567", "llama-bpe") == Pieces{"123", "456", "7"});
    CHECK(pieces("a!\n\n b", "llama-bpe") == Pieces{"a", "!\n\n", " b"});
    CHECK(pieces(" \n \n  b", "llama-bpe") == Pieces{" \n \n", " ", " b"});
    CHECK(pieces("I'LL\tgo", "llama-bpe") == Pieces{"I", "'LL", "\tgo"});
}

TEST_CASE("bytes that are not UTF-8 are symbols of one byte each") {
    CHECK(pieces("a\xFF\xFE b", "gpt-2") == Pieces{"a", "\xFF\xFE", " b"});
    CHECK(pieces("\xE2\x82g", "llama-bpe") == Pieces{"\xE2\x82", "g"});
    CHECK(pieces("\x80g", "llama-bpe") == Pieces{"\x80g"});
    CHECK(pieces("\xC3", "smollm") == Pieces{"\xC3"});
}

TEST_CASE("an unknown pre-tokenizer has no rules") {
    CHECK_FALSE(runtime::find_rules("tekken").has_value());
    CHECK_FALSE(runtime::find_rules("").has_value());
}

}  // namespace rekindle::test
