#include "tests/tokenizer/support.h"

#include "base/check.h"
#include "base/hash.h"
#include "loader/formats/gguf.h"

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace rekindle::test {
namespace {

using runtime::TokenId;
using runtime::TokenizerSource;

constexpr std::string_view kPrefixedRule = "gpt-2 with a space prefix";

json::value parse(std::string_view text) {
    Result<json::value> value = parse_json(text, JsonLimits{});
    REKINDLE_CHECK(value.ok(), "golden files are valid JSON");
    return std::move(value).value();
}

std::vector<std::string> strings_of(const json::value& array) {
    std::vector<std::string> out;
    for (const json::value& item : array.as_array()) {
        out.emplace_back(item.as_string());
    }
    return out;
}

std::vector<TokenId> ids_of(const json::value& array) {
    std::vector<TokenId> out;
    for (const json::value& item : array.as_array()) {
        out.push_back(static_cast<TokenId>(item.as_int64()));
    }
    return out;
}

void add_text(const json::object& record, Golden& golden) {
    GoldenText text;
    text.text = std::string(record.at("text").as_string());
    const json::object& ids = record.at("ids").as_object();
    for (const std::string& rule : golden_rules()) {
        // Rules that agree with the first one are left out of the file.
        const json::value* own = ids.if_contains(rule);
        text.plain.push_back({rule, ids_of(own != nullptr ? *own : ids.at("smollm"))});
    }
    if (const json::value* special = record.if_contains("special")) {
        for (const auto& [rule, value] : special->as_object()) {
            text.special.push_back({std::string(rule), ids_of(value)});
        }
    }
    golden.texts.push_back(std::move(text));
}

void add_run(const json::object& record, Golden& golden) {
    std::string text;
    for (int64_t i = 0; i < record.at("times").as_int64(); ++i) {
        text += record.at("unit").as_string();
    }
    for (const auto& [rule, value] : record.at("runs").as_object()) {
        golden.runs.push_back({text, std::string(rule), static_cast<size_t>(value.at(0).as_int64()),
                               std::string(value.at(1).as_string())});
    }
}

}  // namespace

std::string read_test_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    REKINDLE_CHECK(file.good(), path.c_str());
    std::ostringstream out;
    out << file.rdbuf();
    return std::move(out).str();
}

std::string golden_path(std::string_view name) {
    return std::string(REKINDLE_TEST_DATA) + "/golden/tokenizer/" + std::string(name);
}

std::vector<std::string> golden_rules() {
    return {"smollm", "gpt-2", "llama-bpe", "qwen2", "qwen35", std::string(kPrefixedRule)};
}

TokenizerSource with_rule(TokenizerSource source, std::string_view rule) {
    source.add_space_prefix = rule == kPrefixedRule;
    source.pre_tokenizer = rule == kPrefixedRule ? "gpt-2" : std::string(rule);
    return source;
}

TokenizerSource small_vocabulary(std::string_view pre_tokenizer) {
    const json::value file = parse(read_test_file(golden_path("small_vocabulary.json")));
    TokenizerSource source;
    source.model = "gpt2";
    source.pre_tokenizer = std::string(pre_tokenizer);
    source.tokens = strings_of(file.at("tokens"));
    source.token_types = ids_of(file.at("token_types"));
    source.merges = strings_of(file.at("merges"));
    source.bos = static_cast<TokenId>(file.at("bos").as_int64());
    source.eos = static_cast<TokenId>(file.at("eos").as_int64());
    return source;
}

std::optional<TokenizerSource> model_vocabulary() {
    const char* path = std::getenv("REKINDLE_TEST_MODEL");
    if (path == nullptr || *path == '\0') {
        return std::nullopt;
    }
    const std::string file = read_test_file(path);
    const Result<formats::GgufFile> gguf = formats::parse_gguf(as_bytes(file));
    REKINDLE_CHECK(gguf.ok(), "REKINDLE_TEST_MODEL names a GGUF file");
    const auto strings = [&gguf](std::string_view key) {
        std::vector<std::string> out;
        const auto found = gguf->find_strings(key);
        REKINDLE_CHECK(found.ok() && found->has_value(), "the model has a vocabulary");
        for (const std::string_view text : **found) {
            out.emplace_back(text);
        }
        return out;
    };
    const auto id = [&gguf](std::string_view key) -> std::optional<TokenId> {
        const auto found = gguf->find_unsigned(key);
        REKINDLE_CHECK(found.ok(), "token ids are integers");
        return *found ? std::optional(static_cast<TokenId>(**found)) : std::nullopt;
    };
    TokenizerSource source;
    source.model = (*gguf->find_string("tokenizer.ggml.model")).value();
    source.pre_tokenizer = (*gguf->find_string("tokenizer.ggml.pre")).value();
    source.tokens = strings("tokenizer.ggml.tokens");
    source.token_types = (*gguf->find_int32s("tokenizer.ggml.token_type")).value();
    source.merges = strings("tokenizer.ggml.merges");
    source.bos = id("tokenizer.ggml.bos_token_id");
    source.eos = id("tokenizer.ggml.eos_token_id");
    return source;
}

std::vector<TokenId> OpenTokenizer::encode(std::string_view text, bool parse_special) const {
    std::vector<TokenId> ids;
    runtime::EncodeScratch scratch = tokenizer.new_scratch();
    tokenizer.encode(text, parse_special, scratch, ids);
    return ids;
}

std::string OpenTokenizer::decode(const std::vector<TokenId>& ids) const {
    std::string text;
    for (const TokenId id : ids) {
        text += tokenizer.bytes_of(id);
    }
    return text;
}

OpenTokenizer open_table(std::vector<std::byte> table) {
    Result<runtime::Tokenizer> tokenizer = runtime::Tokenizer::open(table);
    REKINDLE_CHECK(tokenizer.ok(), "the table opens");
    return {std::move(table), std::move(tokenizer).value()};
}

OpenTokenizer open_tokenizer(const TokenizerSource& source) {
    Result<std::vector<std::byte>> table = runtime::compile_tokenizer(source);
    REKINDLE_CHECK(table.ok(), "the vocabulary compiles");
    return open_table(std::move(table).value());
}

Golden read_golden(std::string_view file) {
    std::istringstream lines(read_test_file(golden_path(file)));
    Golden golden;
    for (std::string line; std::getline(lines, line);) {
        const json::value record = parse(line);
        if (record.as_object().contains("text")) {
            add_text(record.as_object(), golden);
        } else {
            add_run(record.as_object(), golden);
        }
    }
    return golden;
}

std::string fingerprint(const std::vector<TokenId>& ids) {
    uint64_t value = 0xCBF2'9CE4'8422'2325;  // FNV-1a.
    for (const TokenId id : ids) {
        value = (value ^ static_cast<uint64_t>(id)) * 0x100'0000'01B3;
    }
    std::ostringstream out;
    out << std::hex;
    out.width(16);
    out.fill('0');
    out << value;
    return std::move(out).str();
}

}  // namespace rekindle::test
