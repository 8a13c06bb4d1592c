#include "daemon/import_tokenizer.h"

#include "runtime/template/chat_template.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <string>
#include <utility>

namespace rekindle::daemon {

namespace {

using runtime::TokenId;

// Families whose files leave add_bos_token out and mean true, as llama.cpp reads them.
constexpr std::array<std::string_view, 3> kPreTokenizersWithBos = {"llama-bpe", "llama3",
                                                                   "llama-v3"};

// Reads keys under "tokenizer.ggml."; the first failure sticks.
class TokenizerKeys {
public:
    explicit TokenizerKeys(const formats::GgufFile& file) : file_(file) {}

    std::string string_or(std::string_view key, std::string_view fallback) {
        return std::string(keep(file_.find_string(name(key))).value_or(fallback));
    }

    bool flag_or(std::string_view key, bool fallback) {
        return keep(file_.find_bool(name(key))).value_or(fallback);
    }

    std::vector<std::string> strings(std::string_view key) {
        std::vector<std::string> out;
        if (const auto found = keep(file_.find_strings(name(key)))) {
            out.reserve(static_cast<size_t>(found->size()));
            for (const std::string_view text : *found) {
                out.emplace_back(text);
            }
        }
        return out;
    }

    std::vector<int32_t> int32s(std::string_view key) {
        return keep(file_.find_int32s(name(key))).value_or(std::vector<int32_t>());
    }

    std::optional<TokenId> id(std::string_view key) {
        const std::optional<uint64_t> value = keep(file_.find_unsigned(name(key)));
        constexpr auto kIdMax = static_cast<uint64_t>(std::numeric_limits<TokenId>::max());
        // Converters write all ones for "there is none".
        if (!value || *value == std::numeric_limits<uint32_t>::max()) {
            return std::nullopt;
        }
        if (*value > kIdMax) {
            keep(Result<std::optional<int>>(Error{
                ErrorCode::kCorrupt,
                fmt::format("GGUF metadata {} is {}, which is no token", name(key), *value)}));
            return std::nullopt;
        }
        return static_cast<TokenId>(*value);
    }

    const std::optional<Error>& error() const noexcept { return error_; }

private:
    static std::string name(std::string_view key) { return fmt::format("tokenizer.ggml.{}", key); }

    template <typename T>
    std::optional<T> keep(Result<std::optional<T>> read) {
        if (read) {
            return std::move(read).value();
        }
        if (!error_) {
            error_ = std::move(read).error();
        }
        return std::nullopt;
    }

    const formats::GgufFile& file_;
    std::optional<Error> error_;
};

}  // namespace

Result<runtime::TokenizerSource> read_tokenizer_source(const formats::GgufFile& file) {
    TokenizerKeys keys(file);
    runtime::TokenizerSource source;
    source.model = keys.string_or("model", "");
    source.pre_tokenizer = keys.string_or("pre", "default");
    source.tokens = keys.strings("tokens");
    source.token_types = keys.int32s("token_type");
    source.merges = keys.strings("merges");
    source.bos = keys.id("bos_token_id");
    source.eos = keys.id("eos_token_id");
    source.unknown = keys.id("unknown_token_id");
    source.padding = keys.id("padding_token_id");
    const bool bos_by_default =
        std::find(kPreTokenizersWithBos.begin(), kPreTokenizersWithBos.end(),
                  source.pre_tokenizer) != kPreTokenizersWithBos.end();
    source.add_bos = keys.flag_or("add_bos_token", bos_by_default);
    source.add_eos = keys.flag_or("add_eos_token", false);
    source.add_space_prefix = keys.flag_or("add_space_prefix", false);
    if (keys.error()) {
        return *keys.error();
    }
    if (source.model.empty()) {
        return Error{ErrorCode::kCorrupt, "GGUF metadata tokenizer.ggml.model is missing"};
    }
    return source;
}

Result<std::vector<std::byte>> import_tokenizer(const formats::GgufFile& file) {
    const Result<runtime::TokenizerSource> source = read_tokenizer_source(file);
    if (!source) {
        return source.error();
    }
    return runtime::compile_tokenizer(*source);
}

Result<std::vector<std::byte>> import_chat_template(const formats::GgufFile& file) {
    const auto source = file.find_string("tokenizer.chat_template");
    if (!source) {
        return source.error();
    }
    if (!*source || (*source)->empty()) {
        return std::vector<std::byte>();
    }
    return runtime::compile_template(**source).with_context("chat template");
}

}  // namespace rekindle::daemon
