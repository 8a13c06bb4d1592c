#include "daemon/import_hyperparameters.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace rekindle::daemon {

namespace {

constexpr uint64_t kLayersMax = 1'024;         // docs/formats/image.md
constexpr uint64_t kWidthMax = 262'144;        // Of a row; the largest Llama (405 B) has 53,248.
constexpr uint64_t kVocabularyMax = 1U << 24;  // docs/formats/image.md
constexpr uint64_t kContextMax = 1U << 24;     // docs/formats/image.md
constexpr uint64_t kHeadDimStep = 16;          // kernels::AttentionArgs
constexpr uint64_t kHeadDimMax = 256;          // kernels::AttentionArgs
constexpr uint64_t kWidthStep = 32;            // Activations are quantised in blocks of 32.
constexpr double kRopeBaseDefault = 10'000;    // As llama.cpp without rope.freq_base.

// Reads keys under "llama."; the first failure sticks, and every later read gives zeros.
class LlamaKeys {
public:
    explicit LlamaKeys(const formats::GgufFile& file) : file_(file) {}

    uint32_t count(std::string_view key, uint64_t max) {
        const std::optional<uint64_t> value = optional_integer(key);
        if (!value && !error_) {
            fail(ErrorCode::kCorrupt, fmt::format("GGUF metadata {} is missing", name(key)));
        }
        return checked(key, value.value_or(0), max);
    }

    uint32_t count_or(std::string_view key, uint64_t fallback, uint64_t max) {
        return checked(key, optional_integer(key).value_or(fallback), max);
    }

    double number_or(std::string_view key, double fallback) {
        return optional_number(key).value_or(fallback);
    }

    std::optional<double> optional_number(std::string_view key) {
        auto value = file_.find_float(name(key));
        if (!value) {
            keep(std::move(value).error());
            return std::nullopt;
        }
        return *value;
    }

    std::optional<uint64_t> optional_integer(std::string_view key) {
        const std::string full = name(key);
        const formats::GgufEntry* const entry = file_.find(full);
        if (entry != nullptr && entry->type == formats::GgufType::kArray) {
            fail(ErrorCode::kUnsupported,
                 fmt::format("GGUF metadata {} differs from layer to layer, which is not supported",
                             full));
            return std::nullopt;
        }
        auto value = file_.find_unsigned(full);
        if (!value) {
            keep(std::move(value).error());
            return std::nullopt;
        }
        return *value;
    }

    std::string_view string_or(std::string_view key, std::string_view fallback) {
        auto value = file_.find_string(name(key));
        if (!value) {
            keep(std::move(value).error());
            return fallback;
        }
        return value->value_or(fallback);
    }

    void fail(ErrorCode code, std::string message) { keep({code, std::move(message)}); }

    const std::optional<Error>& error() const noexcept { return error_; }

private:
    static std::string name(std::string_view key) { return fmt::format("llama.{}", key); }

    void keep(Error error) {
        if (!error_) {
            error_ = std::move(error);
        }
    }

    uint32_t checked(std::string_view key, uint64_t value, uint64_t max) {
        if (value == 0 || value > max) {
            fail(ErrorCode::kCorrupt,
                 fmt::format("GGUF metadata {} is {}; 1 to {} are allowed", name(key), value, max));
            return 1;  // Divides; the error is what counts.
        }
        return static_cast<uint32_t>(value);
    }

    const formats::GgufFile& file_;
    std::optional<Error> error_;
};

// What changes the arithmetic and is not implemented here.
void refuse_variants(LlamaKeys& keys) {
    const std::string_view scaling = keys.string_or("rope.scaling.type", "none");
    if (scaling != "none" && scaling != "linear") {
        keys.fail(ErrorCode::kUnsupported,
                  fmt::format("rope scaling \"{}\" (llama.rope.scaling.type) is not supported",
                              scaling.substr(0, 64)));
    }
    // Factors of 0 and 1 scale nothing.
    for (const std::string_view key :
         {"rope.scaling.factor", "rope.scale_linear", "rope.scaling.attn_factor"}) {
        const double factor = keys.number_or(key, 1);
        if (factor != 0 && factor != 1) {
            keys.fail(ErrorCode::kUnsupported,
                      fmt::format("rope scaling by {} (llama.{}) is not supported", factor, key));
        }
    }
    const uint64_t experts = keys.optional_integer("expert_count").value_or(0);
    if (experts > 0) {
        keys.fail(
            ErrorCode::kUnsupported,
            fmt::format("a mixture of {} experts (llama.expert_count) is not supported", experts));
    }
}

void check_heads(const snapshot::Hyperparameters& h, LlamaKeys& keys) {
    if (h.heads % h.kv_heads != 0) {
        keys.fail(ErrorCode::kCorrupt,
                  fmt::format("llama.attention.head_count {} is not a multiple of head_count_kv {}",
                              h.heads, h.kv_heads));
    }
    if (h.head_dim % kHeadDimStep != 0) {
        keys.fail(ErrorCode::kUnsupported,
                  fmt::format("heads of {} values are not supported (a multiple of {} up to {} is)",
                              h.head_dim, kHeadDimStep, kHeadDimMax));
    }
    if (h.rope_dimensions != h.head_dim) {
        keys.fail(ErrorCode::kUnsupported,
                  fmt::format("llama.rope.dimension_count {} differs from the head size {}, which "
                              "is not supported",
                              h.rope_dimensions, h.head_dim));
    }
}

void check_widths(const snapshot::Hyperparameters& h, LlamaKeys& keys) {
    const uint64_t attention = uint64_t{h.heads} * h.head_dim;
    for (const auto& [what, width] :
         {std::pair{"llama.embedding_length", uint64_t{h.embedding}},
          std::pair{"llama.feed_forward_length", uint64_t{h.feed_forward}},
          std::pair{"heads times head size", attention}}) {
        if (width % kWidthStep != 0 || width > kWidthMax) {
            keys.fail(ErrorCode::kUnsupported,
                      fmt::format("{} of {} is not supported (a multiple of {} up to {} is)", what,
                                  width, kWidthStep, kWidthMax));
        }
    }
    if (!(h.rope_base >= 1) || !(h.rms_epsilon > 0 && h.rms_epsilon < 1)) {
        keys.fail(ErrorCode::kCorrupt,
                  fmt::format("llama.rope.freq_base {} or attention.layer_norm_rms_epsilon {} is "
                              "out of range",
                              h.rope_base, h.rms_epsilon));
    }
}

// The head size is written out, or it is the embedding split evenly.
uint32_t read_head_dim(const snapshot::Hyperparameters& h, LlamaKeys& keys) {
    const std::optional<uint64_t> written = keys.optional_integer("attention.key_length");
    if (!written && h.embedding % h.heads != 0) {
        keys.fail(ErrorCode::kCorrupt, fmt::format("llama.embedding_length {} is not a multiple of "
                                                   "attention.head_count {}",
                                                   h.embedding, h.heads));
    }
    const uint64_t fallback = h.embedding / h.heads;
    const uint32_t key = keys.count_or("attention.key_length", fallback, kHeadDimMax);
    const uint32_t value = keys.count_or("attention.value_length", fallback, kHeadDimMax);
    if (key != value) {
        keys.fail(
            ErrorCode::kUnsupported,
            fmt::format("llama.attention.key_length {} differs from value_length {}, which is "
                        "not supported",
                        key, value));
    }
    return key;
}

}  // namespace

Result<snapshot::Hyperparameters> read_llama_hyperparameters(const formats::GgufFile& file) {
    LlamaKeys keys(file);
    refuse_variants(keys);
    snapshot::Hyperparameters h;
    h.architecture = "llama";
    h.layers = keys.count("block_count", kLayersMax);
    h.embedding = keys.count("embedding_length", kWidthMax);
    h.feed_forward = keys.count("feed_forward_length", kWidthMax);
    h.heads = keys.count("attention.head_count", kWidthMax);
    h.kv_heads = keys.count_or("attention.head_count_kv", h.heads, kWidthMax);
    h.head_dim = read_head_dim(h, keys);
    h.context = keys.count("context_length", kContextMax);
    h.rope_dimensions = keys.count_or("rope.dimension_count", h.head_dim, kHeadDimMax);
    h.rope_base = keys.number_or("rope.freq_base", kRopeBaseDefault);
    const std::optional<double> epsilon = keys.optional_number("attention.layer_norm_rms_epsilon");
    if (!epsilon) {
        keys.fail(ErrorCode::kCorrupt,
                  "GGUF metadata llama.attention.layer_norm_rms_epsilon is missing");
    }
    h.rms_epsilon = epsilon.value_or(0);
    check_heads(h, keys);
    check_widths(h, keys);

    const auto tokens = file.find_strings("tokenizer.ggml.tokens");
    if (!tokens) {
        return tokens.error();
    }
    const uint64_t vocabulary = *tokens ? (*tokens)->size() : 0;
    if (vocabulary < 2 || vocabulary > kVocabularyMax) {
        keys.fail(ErrorCode::kCorrupt,
                  fmt::format("GGUF metadata tokenizer.ggml.tokens has {} tokens; 2 to {} are "
                              "allowed",
                              vocabulary, kVocabularyMax));
    }
    if (keys.error()) {
        return *keys.error();
    }
    h.vocabulary = static_cast<uint32_t>(vocabulary);
    return h;
}

}  // namespace rekindle::daemon
