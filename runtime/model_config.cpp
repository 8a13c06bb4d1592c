#include "runtime/model_config.h"

#include "kernels/kernel_table.h"
#include "runtime/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>

namespace rekindle::runtime {
namespace {

constexpr uint32_t kHeadDimStep = 16;  // AttentionArgs::head_dim
constexpr uint32_t kHeadDimMax = 256;
constexpr uint32_t kGroupMax = 16;  // AttentionArgs::group; 8 is the most that models use.
// Of the compute buffers' rows. The largest Llama (405 B) has 53,248.
constexpr uint32_t kWidthMax = 262'144;
constexpr uint32_t kVocabularyMax = 1U << 24;

Error corrupt(std::string message) {
    return Error{ErrorCode::kCorrupt, std::move(message)};
}

Result<void> check_counts(const snapshot::Hyperparameters& h) {
    if (h.layers == 0 || h.embedding == 0 || h.feed_forward == 0 || h.heads == 0 ||
        h.kv_heads == 0 || h.head_dim == 0 || h.vocabulary == 0 || h.context == 0) {
        return corrupt("model: a count among the hyperparameters is 0");
    }
    // A matrix of one row would be taken for a vector, which is not packed.
    if (h.embedding < 2 || h.feed_forward < 2 || h.vocabulary < 2) {
        return corrupt(fmt::format("model: embedding {}, feed-forward {} or vocabulary {} is 1",
                                   h.embedding, h.feed_forward, h.vocabulary));
    }
    if (h.heads % h.kv_heads != 0) {
        return corrupt(
            fmt::format("model: {} heads cannot share {} KV heads evenly", h.heads, h.kv_heads));
    }
    if (h.heads / h.kv_heads > kGroupMax) {
        return Error{ErrorCode::kUnsupported,
                     fmt::format("model: {} heads on {} KV heads are not supported; up to {} heads "
                                 "may share one",
                                 h.heads, h.kv_heads, kGroupMax)};
    }
    const uint64_t width =
        std::max({uint64_t{h.embedding}, uint64_t{h.feed_forward}, uint64_t{h.heads} * h.head_dim});
    if (width > kWidthMax || h.vocabulary > kVocabularyMax) {
        return Error{ErrorCode::kTooLarge,
                     fmt::format("model: rows of {} values or a vocabulary of {} are beyond the "
                                 "limits of {} and {}",
                                 width, h.vocabulary, kWidthMax, kVocabularyMax)};
    }
    if (h.head_dim % kHeadDimStep != 0 || h.head_dim > kHeadDimMax) {
        return Error{ErrorCode::kUnsupported,
                     fmt::format("model: heads of {} values are not supported; a multiple of {} up "
                                 "to {} is",
                                 h.head_dim, kHeadDimStep, kHeadDimMax)};
    }
    return {};
}

Result<void> check_numbers(const snapshot::Hyperparameters& h) {
    if (h.rope_dimensions == 0 || h.rope_dimensions > h.head_dim || h.rope_dimensions % 2 != 0) {
        return corrupt(fmt::format("model: {} rotary dimensions do not fit heads of {} values",
                                   h.rope_dimensions, h.head_dim));
    }
    if (!std::isfinite(h.rope_base) || h.rope_base <= 0) {
        return corrupt(fmt::format("model: rotary base {} is not a positive number", h.rope_base));
    }
    if (!std::isfinite(h.rms_epsilon) || h.rms_epsilon < 0) {
        return corrupt(
            fmt::format("model: norm epsilon {} is negative or not a number", h.rms_epsilon));
    }
    return {};
}

}  // namespace

Result<ModelConfig> ModelConfig::from(const snapshot::Hyperparameters& hyperparameters) {
    if (hyperparameters.architecture != "llama") {
        return Error{ErrorCode::kUnsupported,
                     fmt::format("model: architecture {} is not supported; llama is",
                                 hyperparameters.architecture)};
    }
    const auto counts = check_counts(hyperparameters);
    if (!counts) {
        return counts.error();
    }
    const auto numbers = check_numbers(hyperparameters);
    if (!numbers) {
        return numbers.error();
    }
    return ModelConfig{hyperparameters};
}

uint64_t kv_page_bytes(const snapshot::Hyperparameters& hyperparameters,
                       kernels::KvType type) noexcept {
    constexpr uint64_t kKeysAndValues = 2;
    return uint64_t{hyperparameters.layers} * kKeysAndValues * hyperparameters.kv_heads *
           kernels::kv_head_bytes(type, hyperparameters.head_dim);
}

}  // namespace rekindle::runtime
