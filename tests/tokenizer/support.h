// Vocabularies and golden records for the tokenizer's tests.
#pragma once
#include "base/json.h"
#include "runtime/tokenizer/tokenizer.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rekindle::test {

std::string read_test_file(const std::string& path);
std::string golden_path(std::string_view name);

// tests/golden/tokenizer/small_vocabulary.json, for one pre-tokenizer.
runtime::TokenizerSource small_vocabulary(std::string_view pre_tokenizer);
// The vocabulary of the model file that REKINDLE_TEST_MODEL names; nothing when it is not set.
std::optional<runtime::TokenizerSource> model_vocabulary();

// A compiled table and the tokenizer over it.
struct OpenTokenizer {
    std::vector<std::byte> table;
    runtime::Tokenizer tokenizer;

    std::vector<runtime::TokenId> encode(std::string_view text, bool parse_special) const;
    std::string decode(const std::vector<runtime::TokenId>& ids) const;
};

OpenTokenizer open_tokenizer(const runtime::TokenizerSource& source);
OpenTokenizer open_table(std::vector<std::byte> table);

struct GoldenIds {
    std::string rule;
    std::vector<runtime::TokenId> ids;
};

struct GoldenText {
    std::string text;
    std::vector<GoldenIds> plain;    // Control tokens as ordinary text.
    std::vector<GoldenIds> special;  // Empty when the text holds no control token.
};

struct GoldenRun {
    std::string text;
    std::string rule;
    size_t count;
    std::string fingerprint;
};

struct Golden {
    std::vector<GoldenText> texts;
    std::vector<GoldenRun> runs;
};

Golden read_golden(std::string_view file);
std::string fingerprint(const std::vector<runtime::TokenId>& ids);

// The rule sets in the golden files; "gpt-2 with a space prefix" is a source with that option.
std::vector<std::string> golden_rules();
runtime::TokenizerSource with_rule(runtime::TokenizerSource source, std::string_view rule);

}  // namespace rekindle::test
