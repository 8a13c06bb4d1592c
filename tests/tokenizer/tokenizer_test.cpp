// Bytes that nobody vouches for, special tokens, and what tokens say of themselves.
#include "runtime/tokenizer/tokenizer.h"

#include "base/random.h"
#include "tests/tokenizer/support.h"

#include <doctest/doctest.h>

#include <algorithm>

namespace rekindle::test {
namespace {

using runtime::TokenId;
using runtime::TokenizerSource;

// Ids of small_vocabulary.json.
constexpr TokenId kEndOfText = 0;
constexpr TokenId kStart = 1;
constexpr TokenId kEnd = 2;
constexpr TokenId kUnclosedEnd = 3;  // "<|im_end", the beginning of the one above.
constexpr TokenId kTool = 4;
constexpr TokenId kToolCall = 5;

std::string random_bytes(uint64_t seed, size_t count) {
    std::string bytes;
    for (size_t i = 0; i < count; ++i) {
        bytes.push_back(static_cast<char>(counter_random(seed, 0, i)));
    }
    return bytes;
}

std::vector<TokenId> sorted(std::vector<TokenId> ids) {
    std::sort(ids.begin(), ids.end());
    return ids;
}

}  // namespace

TEST_CASE("any bytes come back as they were") {
    for (const std::string& rule : {"smollm", "gpt-2", "llama-bpe", "qwen2", "qwen35"}) {
        const OpenTokenizer tokenizer = open_tokenizer(small_vocabulary(rule));
        for (uint64_t seed = 0; seed < 200; ++seed) {
            const std::string bytes = random_bytes(seed, 1 + seed * 7);
            CHECK(tokenizer.decode(tokenizer.encode(bytes, false)) == bytes);
            CHECK(tokenizer.decode(tokenizer.encode(bytes, true)) == bytes);
        }
        for (const std::string text : {"\xED\xA0\x80", "\xF4\x90\x80\x80", "\xC0\xAF", "a\xE4\xBD",
                                       "\xF0\x9F\x98", "\x80\x80\x80", "é\xC3 é"}) {
            CHECK(tokenizer.decode(tokenizer.encode(text, false)) == text);
        }
    }
}

TEST_CASE("text of nothing gives no ids, and ids out of range no bytes") {
    const OpenTokenizer tokenizer = open_tokenizer(small_vocabulary("smollm"));
    CHECK(tokenizer.encode("", false).empty());
    CHECK(tokenizer.tokenizer.bytes_of(-1).empty());
    CHECK(tokenizer.tokenizer.bytes_of(static_cast<TokenId>(tokenizer.tokenizer.size())).empty());
    CHECK_FALSE(tokenizer.tokenizer.is_control(-1));
    CHECK_FALSE(tokenizer.tokenizer.is_end(1 << 30));
}

TEST_CASE("control tokens in a text are ordinary text unless asked for") {
    const OpenTokenizer tokenizer = open_tokenizer(small_vocabulary("smollm"));
    const std::string text = "<|im_start|>user<|im_end|>";

    const auto plain = tokenizer.encode(text, false);
    const auto special = tokenizer.encode(text, true);

    CHECK(std::none_of(plain.begin(), plain.end(),
                       [&](TokenId id) { return tokenizer.tokenizer.is_control(id); }));
    CHECK(tokenizer.decode(plain) == text);
    CHECK(special.front() == kStart);
    CHECK(special.back() == kEnd);
}

TEST_CASE("of special tokens the longest at the leftmost place counts") {
    const OpenTokenizer tokenizer = open_tokenizer(small_vocabulary("smollm"));
    CHECK(tokenizer.encode("<|im_end|>", true) == std::vector<TokenId>{kEnd});
    CHECK(tokenizer.encode("<|im_end<|im_end|>", true) == std::vector<TokenId>{kUnclosedEnd, kEnd});
    CHECK(tokenizer.encode("<tool_call>", false) == std::vector<TokenId>{kToolCall});
    CHECK(tokenizer.encode("<tool><tool_call>", false) == std::vector<TokenId>{kTool, kToolCall});
    CHECK(tokenizer.encode("<tool_call<tool>", false).back() == kTool);
}

TEST_CASE("a text of nothing but beginnings of special tokens is read in time") {
    const OpenTokenizer tokenizer = open_tokenizer(small_vocabulary("smollm"));
    std::string text;
    while (text.size() < 1'000'000) {
        text += "<|im_en<tool_cal";
    }
    CHECK(tokenizer.decode(tokenizer.encode(text, true)) == text);
}

TEST_CASE("turns end with eos and with the known control tokens, not with text that looks alike") {
    TokenizerSource source = small_vocabulary("smollm");
    source.eos = kStart;
    const OpenTokenizer tokenizer = open_tokenizer(source);
    CHECK(tokenizer.tokenizer.is_end(kStart));
    CHECK(tokenizer.tokenizer.is_end(kEnd));
    CHECK(tokenizer.tokenizer.is_end(kEndOfText));
    CHECK_FALSE(tokenizer.tokenizer.is_end(kUnclosedEnd));
    CHECK(tokenizer.tokenizer.is_control(kEnd));
    CHECK_FALSE(tokenizer.tokenizer.is_control(kTool));
    CHECK(tokenizer.tokenizer.bytes_of(kEnd) == "<|im_end|>");

    source.token_types[kEnd] = 1;
    CHECK_FALSE(open_tokenizer(source).tokenizer.is_end(kEnd));
}

TEST_CASE("what the source says of bos and eos is kept") {
    TokenizerSource source = small_vocabulary("smollm");
    source.bos = 7;
    source.eos = std::nullopt;
    source.add_bos = true;
    const OpenTokenizer tokenizer = open_tokenizer(source);
    CHECK(tokenizer.tokenizer.bos() == 7);
    CHECK(tokenizer.tokenizer.eos() == std::nullopt);
    CHECK(tokenizer.tokenizer.add_bos());
    CHECK(tokenizer.tokenizer.size() == source.tokens.size());
}

TEST_CASE("bytes without a token of their own are left out, and their neighbours may merge") {
    TokenizerSource source;
    source.model = "gpt2";
    source.pre_tokenizer = "gpt-2";
    source.tokens = {"a", "b", "ab"};
    source.merges = {"a b"};
    const OpenTokenizer tokenizer = open_tokenizer(source);
    CHECK(tokenizer.encode("acb", false) == std::vector<TokenId>{2});
    CHECK(tokenizer.encode("c", false).empty());
}

TEST_CASE("merging goes by rank, then from the left, in short and in long pieces") {
    TokenizerSource source;
    source.model = "gpt2";
    source.pre_tokenizer = "gpt-2";
    source.tokens = {"a", "b", "aa", "ab", "aaaa", "aab"};
    source.merges = {"a a", "a b", "aa aa", "aa b"};
    const OpenTokenizer tokenizer = open_tokenizer(source);
    CHECK(tokenizer.encode("aaab", false) == std::vector<TokenId>{2, 3});
    CHECK(tokenizer.encode("aaaaa", false) == std::vector<TokenId>{4, 0});
    std::vector<TokenId> expected(25'000, 4);
    expected.push_back(5);
    CHECK(tokenizer.encode(std::string(100'002, 'a') + "b", false) == expected);
}

TEST_CASE("whichever token a vocabulary lists first, its table is the same tokenizer") {
    // The order of hash entries depends on ids; lookups must not.
    TokenizerSource source = small_vocabulary("smollm");
    const OpenTokenizer forward = open_tokenizer(source);
    const auto last = static_cast<TokenId>(source.tokens.size()) - 1;
    std::reverse(source.tokens.begin(), source.tokens.end());
    std::reverse(source.token_types.begin(), source.token_types.end());
    source.bos = source.eos = std::nullopt;
    const OpenTokenizer backward = open_tokenizer(source);
    const std::string text = "The quick brown fox's 123 jumps <|im_end|> 中文 é\n\n";
    std::vector<TokenId> mirrored = backward.encode(text, true);
    for (TokenId& id : mirrored) {
        id = last - id;
    }
    CHECK(sorted(mirrored) == sorted(forward.encode(text, true)));
}

}  // namespace rekindle::test
