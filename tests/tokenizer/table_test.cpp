// Sources that contradict themselves, and tables that were cut, altered or made to harm.
#include "runtime/tokenizer/table.h"

#include "tests/tokenizer/support.h"

#include <doctest/doctest.h>

#include <cstring>

namespace rekindle::test {
namespace {

using runtime::TableHeader;
using runtime::TokenizerSource;

TokenizerSource tiny_source() {
    TokenizerSource source;
    source.model = "gpt2";
    source.pre_tokenizer = "smollm";
    source.tokens = {"a", "b", "ab", "<end>", "<t>"};
    source.token_types = {1, 1, 1, 3, 4};
    source.merges = {"a b"};
    return source;
}

void check_refused(const TokenizerSource& source, ErrorCode code, std::string_view message) {
    const auto table = runtime::compile_tokenizer(source);
    REQUIRE_FALSE(table.ok());
    CHECK(table.error().code == code);
    CHECK(table.error().message == message);
}

std::vector<std::byte> tiny_table() {
    auto table = runtime::compile_tokenizer(tiny_source());
    REQUIRE(table.ok());
    return std::move(table).value();
}

// The tiny table with a change to its header.
template <typename Change>
Result<runtime::Tokenizer> open_changed(Change change) {
    std::vector<std::byte> table = tiny_table();
    TableHeader header;
    std::memcpy(&header, table.data(), sizeof header);
    change(header);
    std::memcpy(table.data(), &header, sizeof header);
    return runtime::Tokenizer::open(table);
}

}  // namespace

TEST_CASE("an unknown model or pre-tokenizer is named") {
    TokenizerSource source = tiny_source();
    source.pre_tokenizer = "tekken";
    check_refused(source, ErrorCode::kUnsupported,
                  "tokenizer: the pre-tokenizer \"tekken\" is not supported");
    source.model = "llama";
    check_refused(source, ErrorCode::kUnsupported,
                  "tokenizer: the model \"llama\" is not supported; byte-level BPE (\"gpt2\") is");
}

TEST_CASE("contradictions of a vocabulary are refused with the place") {
    TokenizerSource source = tiny_source();
    source.merges = {"a b", "a c"};
    check_refused(source, ErrorCode::kCorrupt, "tokenizer: merge 1 names the unknown token \"c\"");
    source.merges = {"b a"};
    check_refused(source, ErrorCode::kCorrupt, "tokenizer: merge 0 names the unknown token \"ba\"");
    source.merges = {"ab"};
    check_refused(source, ErrorCode::kCorrupt, "tokenizer: merge 0 has no two parts");
    source = tiny_source();
    source.eos = 5;
    check_refused(source, ErrorCode::kCorrupt,
                  "tokenizer: the eos id 5 is not one of its 5 tokens");
    source = tiny_source();
    source.tokens[1] = "a";
    check_refused(source, ErrorCode::kCorrupt, "tokenizer: token 1 has the same text as token 0");
    source = tiny_source();
    source.token_types.pop_back();
    check_refused(source, ErrorCode::kCorrupt, "tokenizer: has 5 tokens but 4 token types");
    source = tiny_source();
    source.tokens.clear();
    check_refused(source, ErrorCode::kCorrupt,
                  "tokenizer: has 0 tokens, 1 to 1048574 are possible");
}

TEST_CASE("a merge must not make a control token, or any text could") {
    TokenizerSource source = tiny_source();
    source.token_types[2] = 3;
    check_refused(source, ErrorCode::kCorrupt, "tokenizer: merge 0 makes the control token \"ab\"");
}

TEST_CASE("tokens have a longest length") {
    TokenizerSource source = tiny_source();
    source.tokens[3] = std::string(512, 'x');
    CHECK(runtime::compile_tokenizer(source).ok());
    source.tokens[3] = std::string(513, 'x');
    check_refused(source, ErrorCode::kCorrupt,
                  "tokenizer: token 3 has 513 bytes, at most 512 are possible");
    source = tiny_source();
    source.tokens[2] = std::string(65'536, 'x');
    source.merges.clear();
    CHECK(runtime::compile_tokenizer(source).ok());
    source.tokens[2] += 'x';
    CHECK_FALSE(runtime::compile_tokenizer(source).ok());
}

TEST_CASE("a table that was cut anywhere does not open") {
    const std::vector<std::byte> table = tiny_table();
    for (size_t cut = 0; cut < table.size(); ++cut) {
        const std::vector<std::byte> part(table.begin(),
                                          table.begin() + static_cast<std::ptrdiff_t>(cut));
        CHECK_FALSE(runtime::Tokenizer::open(part).ok());
    }
}

TEST_CASE("a table with any byte altered is refused or harmless") {
    const std::vector<std::byte> table = tiny_table();
    for (size_t at = 0; at < table.size(); ++at) {
        for (const unsigned flip : {0x01U, 0x10U, 0x80U, 0xFFU}) {
            std::vector<std::byte> altered = table;
            altered[at] ^= std::byte{static_cast<uint8_t>(flip)};
            const auto opened = runtime::Tokenizer::open(altered);
            if (opened) {
                std::vector<runtime::TokenId> ids;
                auto scratch = opened->new_scratch();
                opened->encode("abab <end> <t> 12 \xFF", true, scratch, ids);
                for (const runtime::TokenId id : ids) {
                    CHECK(static_cast<uint32_t>(id) < opened->size());
                }
            }
        }
    }
}

TEST_CASE("sections, counts and rules beyond their bounds are refused") {
    CHECK(open_changed([](TableHeader&) {}).ok());
    CHECK_FALSE(open_changed([](TableHeader& h) { h.magic ^= 1; }).ok());
    CHECK(open_changed([](TableHeader& h) { h.version = 2; }).error().code ==
          ErrorCode::kUnsupported);
    CHECK_FALSE(open_changed([](TableHeader& h) { h.text.offset += 4; }).ok());
    CHECK_FALSE(open_changed([](TableHeader& h) { h.text.offset = ~uint64_t{7}; }).ok());
    CHECK_FALSE(open_changed([](TableHeader& h) { h.merges.count = ~uint64_t{0} / 12; }).ok());
    CHECK_FALSE(open_changed([](TableHeader& h) { h.token_flags.count -= 1; }).ok());
    CHECK_FALSE(open_changed([](TableHeader& h) { h.token_slots.count = 0; }).ok());
    CHECK_FALSE(open_changed([](TableHeader& h) { h.byte_tokens.count = 255; }).ok());
    CHECK_FALSE(open_changed([](TableHeader& h) { h.eos = 5; }).ok());
    CHECK_FALSE(open_changed([](TableHeader& h) { h.rules.flags |= 1U << 31; }).ok());
    CHECK_FALSE(open_changed([](TableHeader& h) { h.token_probes_max = 1025; }).ok());
}

TEST_CASE("a table must lie at a multiple of eight bytes") {
    const std::vector<std::byte> table = tiny_table();
    std::vector<std::byte> shifted(table.size() + 1);
    std::copy(table.begin(), table.end(), shifted.begin() + 1);
    const auto opened = runtime::Tokenizer::open(std::span(shifted).subspan(1));
    REQUIRE_FALSE(opened.ok());
    CHECK(opened.error().code == ErrorCode::kCorrupt);
}

}  // namespace rekindle::test
