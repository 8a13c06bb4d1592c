// The fast ways of merging (scan, heap, words met before) against the definition: as long as any
// neighbours merge, the lowest-ranked pair does, the leftmost of equals.
#include "base/random.h"
#include "runtime/tokenizer/bpe.h"
#include "runtime/tokenizer/word_cache.h"
#include "tests/tokenizer/support.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <utility>

namespace rekindle::test {
namespace {

using runtime::BpeScratch;
using runtime::kScanSymbolsMax;
using runtime::TokenId;
using runtime::TokenizerSource;
using runtime::WordCache;

uint64_t random_below(uint64_t seed, uint64_t index, uint64_t end) {
    return counter_random(seed, 0, index) % end;
}

// Letters a to d, and merges of tokens drawn at random: ranks follow no order of size, as those of
// a trained vocabulary do.
TokenizerSource random_source(uint64_t seed) {
    TokenizerSource source;
    source.model = "gpt2";
    source.pre_tokenizer = "gpt-2";
    source.tokens = {"a", "b", "c", "d", "Ġ"};
    for (uint64_t i = 0; i < 60; ++i) {
        const size_t count = source.tokens.size();
        const std::string& left = source.tokens[random_below(seed, 2 * i, count)];
        const std::string& right = source.tokens[random_below(seed, 2 * i + 1, count)];
        const std::string merged = left + right;
        if (merged.size() < 40 && merged.find("Ġ", 1) == std::string::npos) {
            source.merges.push_back(left + " " + right);
            if (std::ranges::find(source.tokens, merged) == source.tokens.end()) {
                source.tokens.push_back(merged);
            }
        }
    }
    for (size_t i = source.merges.size(); i > 1; --i) {
        std::swap(source.merges[i - 1], source.merges[random_below(seed, 1000 + i, i)]);
    }
    return source;
}

// The definition, one word at a time, on strings.
class SimpleMerger {
public:
    explicit SimpleMerger(const TokenizerSource& source) {
        for (size_t rank = 0; rank < source.merges.size(); ++rank) {
            const size_t space = source.merges[rank].find(' ');
            ranks_[{source.merges[rank].substr(0, space), source.merges[rank].substr(space + 1)}] =
                rank;  // Of merges of the same pair the last one counts.
        }
        for (size_t id = 0; id < source.tokens.size(); ++id) {
            ids_[source.tokens[id]] = static_cast<TokenId>(id);
        }
    }

    void encode_word(std::string_view word, std::vector<TokenId>& out) const {
        std::vector<std::string> symbols;
        for (const char c : word) {
            symbols.push_back(c == ' ' ? "Ġ" : std::string(1, c));
        }
        while (const auto best = lowest(symbols)) {
            symbols[*best] += symbols[*best + 1];
            symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(*best) + 1);
        }
        for (const std::string& symbol : symbols) {
            out.push_back(ids_.at(symbol));
        }
    }

private:
    std::optional<size_t> lowest(const std::vector<std::string>& symbols) const {
        std::optional<size_t> best;
        size_t best_rank = ranks_.size() * 2;
        for (size_t i = 0; i + 1 < symbols.size(); ++i) {
            const auto found = ranks_.find({symbols[i], symbols[i + 1]});
            if (found != ranks_.end() && (!best || found->second < best_rank)) {
                best = i;
                best_rank = found->second;
            }
        }
        return best;
    }

    std::map<std::pair<std::string, std::string>, size_t> ranks_;
    std::map<std::string, TokenId> ids_;
};

std::string random_word(uint64_t seed, size_t length) {
    std::string word;
    const uint64_t letters = 1 + random_below(seed, 999, 4);
    for (size_t i = 0; i < length; ++i) {
        word.push_back(static_cast<char>('a' + random_below(seed, i, letters)));
    }
    return word;
}

}  // namespace

TEST_CASE("words of any length merge as the definition says, whatever the ranks") {
    for (uint64_t vocabulary = 0; vocabulary < 20; ++vocabulary) {
        const TokenizerSource source = random_source(vocabulary);
        const SimpleMerger simple(source);
        const OpenTokenizer tokenizer = open_tokenizer(source);
        for (uint64_t word = 0; word < 60; ++word) {
            const uint64_t seed = vocabulary * 1000 + word;
            const std::string text = random_word(seed, 1 + random_below(seed, 998, 200));
            std::vector<TokenId> expected;
            simple.encode_word(text, expected);
            CHECK_MESSAGE(tokenizer.encode(text, false) == expected, text);
        }
    }
}

TEST_CASE("a word as long as a scan takes and one symbol longer merge alike") {
    const TokenizerSource source = random_source(3);
    const SimpleMerger simple(source);
    const OpenTokenizer tokenizer = open_tokenizer(source);
    for (const size_t length : {kScanSymbolsMax, kScanSymbolsMax + 1}) {
        for (uint64_t seed = 0; seed < 50; ++seed) {
            const std::string text = random_word(seed, length);
            std::vector<TokenId> expected;
            simple.encode_word(text, expected);
            CHECK(tokenizer.encode(text, false) == expected);
        }
    }
}

TEST_CASE("texts get the same ids with a scratch that met other texts before") {
    const TokenizerSource source = random_source(7);
    const SimpleMerger simple(source);
    const OpenTokenizer opened = open_tokenizer(source);
    runtime::EncodeScratch scratch = opened.tokenizer.new_scratch();
    std::vector<TokenId> expected;
    std::vector<TokenId> ids;
    for (uint64_t seed = 0; seed < 3000; ++seed) {
        // Short words, so that many come again and many meet in one place of the cache.
        std::string word = random_word(seed, 1 + random_below(seed, 997, 20));
        word.insert(0, seed % 3 == 0 ? " " : "");
        expected.clear();
        simple.encode_word(word, expected);
        ids.clear();
        opened.tokenizer.encode(word, false, scratch, ids);
        CHECK_MESSAGE(ids == expected, word);
    }
}

TEST_CASE("the cache keeps words up to its length and up to its count of ids") {
    WordCache cache;
    std::vector<int32_t> out;
    const std::string longest(WordCache::kWordBytesMax, 'x');
    const auto key = WordCache::key_of(longest);
    CHECK_FALSE(cache.find(key, out));
    cache.put(key, std::vector<int32_t>(WordCache::kTokensMax + 1, 9));
    CHECK_FALSE(cache.find(key, out));
    cache.put(key, std::vector<int32_t>(WordCache::kTokensMax, 9));
    CHECK(cache.find(key, out));
    CHECK(out == std::vector<int32_t>(WordCache::kTokensMax, 9));
    // Zero bytes count: a word is not its beginning.
    CHECK_FALSE(cache.find(WordCache::key_of(std::string(14, 'x')), out));
    const auto zeros = WordCache::key_of(std::string(3, '\0'));
    cache.put(zeros, std::vector<int32_t>{4});
    out.clear();
    CHECK(cache.find(zeros, out));
    CHECK_FALSE(cache.find(WordCache::key_of(std::string(4, '\0')), out));
    CHECK(out == std::vector<int32_t>{4});
}

TEST_CASE("short loads read the bytes that there are, little-endian") {
    const std::string bytes = "\x01\x02\x03\x04\x05\x06\x07\x08";
    uint64_t expected = 0;
    CHECK(runtime::load_short(bytes.data(), 0) == 0);
    for (size_t count = 1; count <= 8; ++count) {
        expected |= static_cast<uint64_t>(count) << (8 * (count - 1));
        CHECK(runtime::load_short(bytes.data(), count) == expected);
    }
}

TEST_CASE("a megabyte of one letter, of spaces or of one emoji is encoded and comes back") {
    const OpenTokenizer tokenizer = open_tokenizer(small_vocabulary("smollm"));
    for (const std::string_view unit : {"a", " ", "\n", "\xF0\x9F\x98\x80", "ab1 '"}) {
        std::string text;
        while (text.size() < (1U << 20)) {
            text += unit;
        }
        CHECK(tokenizer.decode(tokenizer.encode(text, false)) == text);
    }
}

}  // namespace rekindle::test
