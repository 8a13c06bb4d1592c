// First byte: how to read the rest. Even: as text under a rule set, whose bytes must come back;
// odd: as a compiled table, which may be refused but not followed out of bounds.
#include "base/check.h"
#include "base/utf8.h"
#include "runtime/tokenizer/tokenizer.h"

#include <array>
#include <cstdint>
#include <string>

namespace {

using rekindle::runtime::Tokenizer;
using rekindle::runtime::TokenizerSource;

constexpr std::array<const char*, 5> kRules{"smollm", "gpt-2", "llama-bpe", "qwen2", "qwen35"};

// All bytes, a few merges, and special tokens that begin alike.
TokenizerSource make_source(const char* rule) {
    TokenizerSource source;
    source.model = "gpt2";
    source.pre_tokenizer = rule;
    uint32_t unprintable = 0x100;
    for (uint32_t byte = 0; byte < 256; ++byte) {
        const bool prints =
            (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
        rekindle::append_utf8(source.tokens.emplace_back(), prints ? byte : unprintable++);
    }
    for (const char* merge : {"a a", "aa aa", "a b", "aa b", "' s", "Ġ a", "Ġ Ġ", "ĠĠ ĠĠ", "1 2",
                              "Ċ Ċ", "Ã ©", "! !"}) {
        const std::string text(merge);
        const size_t space = text.find(' ');
        source.tokens.push_back(text.substr(0, space) + text.substr(space + 1));
        source.merges.push_back(text);
    }
    source.token_types.assign(source.tokens.size(), 1);
    for (const char* special : {"<|a|>", "<|a", "<|ab|>"}) {
        source.tokens.emplace_back(special);
        source.token_types.push_back(3);
    }
    source.tokens.emplace_back("<t>");
    source.token_types.push_back(4);
    return source;
}

void check_round_trip(const Tokenizer& tokenizer, std::string_view text, bool parse_special) {
    std::vector<rekindle::runtime::TokenId> ids;
    auto scratch = tokenizer.new_scratch();
    tokenizer.encode(text, parse_special, scratch, ids);
    std::vector<rekindle::runtime::TokenId> again;
    tokenizer.encode(text, parse_special, scratch, again);
    REKINDLE_CHECK(ids == again, "words that were met before get the same ids");
    std::string decoded;
    for (const auto id : ids) {
        decoded += tokenizer.bytes_of(id);
    }
    REKINDLE_CHECK(decoded == text, "the bytes of the ids are the text");
}

void fuzz_text(uint8_t mode, std::string_view text) {
    static const std::array<std::vector<std::byte>, kRules.size()> tables = [] {
        std::array<std::vector<std::byte>, kRules.size()> out;
        for (size_t i = 0; i < kRules.size(); ++i) {
            out[i] = rekindle::runtime::compile_tokenizer(make_source(kRules[i])).value();
        }
        return out;
    }();
    const auto tokenizer = Tokenizer::open(tables[mode / 2 % kRules.size()]);
    check_round_trip(*tokenizer, text, false);
    check_round_trip(*tokenizer, text, true);
}

void fuzz_table(const uint8_t* data, size_t size) {
    std::vector<std::byte> table(size);  // At a multiple of eight, as open demands.
    for (size_t i = 0; i < size; ++i) {
        table[i] = std::byte{data[i]};
    }
    const auto tokenizer = Tokenizer::open(table);
    if (tokenizer) {
        std::vector<rekindle::runtime::TokenId> ids;
        auto scratch = tokenizer->new_scratch();
        tokenizer->encode("aaab ab's 12\n\n <|a|><t> \xC3\xA9\xFF", true, scratch, ids);
        for (const auto id : ids) {
            REKINDLE_CHECK(static_cast<uint32_t>(id) < tokenizer->size(), "ids are in range");
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) {
        return 0;
    }
    if (data[0] % 2 == 0) {
        fuzz_text(data[0], {reinterpret_cast<const char*>(data + 1), size - 1});
    } else {
        fuzz_table(data + 1, size - 1);
    }
    return 0;
}
