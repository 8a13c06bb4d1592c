#include "runtime/weights.h"

#include "base/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <initializer_list>

namespace rekindle::runtime {
namespace {

using snapshot::TensorEntry;

constexpr uint32_t kVectorRows = 1;

Error tensor_error(ErrorCode code, std::string_view name, std::string_view problem) {
    return Error{code, fmt::format("tensor {}: {}", name, problem)};
}

// Vectors are plain F32 in the image, whatever type their source had; matrices are packed.
uint64_t expected_bytes(const TensorEntry& entry) {
    if (entry.rows == kVectorRows) {
        return uint64_t{entry.columns} * sizeof(float);
    }
    return kernels::packed_bytes(entry.type, entry.rows, entry.columns);
}

Result<void> check_tensor(const TensorEntry& entry, uint32_t rows, uint32_t columns) {
    if (entry.rows != rows || entry.columns != columns) {
        return tensor_error(ErrorCode::kCorrupt, entry.name,
                            fmt::format("has {} rows of {}, the hyperparameters ask for {} of {}",
                                        entry.rows, entry.columns, rows, columns));
    }
    const auto& traits = kernels::weight_type_traits(entry.type);
    const uint32_t step = entry.type == kernels::WeightType::kBF16 ? 2 : traits.block_columns;
    if (rows != kVectorRows && columns % step != 0) {
        return tensor_error(ErrorCode::kCorrupt, entry.name,
                            fmt::format("rows of {} values are no multiple of {} as {} needs",
                                        columns, step, traits.name));
    }
    if (entry.bytes != expected_bytes(entry)) {
        return tensor_error(
            ErrorCode::kCorrupt, entry.name,
            fmt::format("has {} bytes instead of {}", entry.bytes, expected_bytes(entry)));
    }
    return {};
}

}  // namespace

Result<Weights> Weights::bind(const snapshot::ImageView& image, const ModelConfig& config) {
    Weights weights(image);
    const auto bound = weights.bind_model(config);
    if (!bound) {
        return bound.error();
    }
    const auto known = weights.refuse_unknown_tensors();
    if (!known) {
        return known.error();
    }
    weights.add_parts();
    return weights;
}

Result<void> Weights::bind_model(const ModelConfig& config) {
    const auto& h = config.base;
    const auto tokens = bind_tensor("token_embd.weight", h.vocabulary, h.embedding);
    if (!tokens) {
        return tokens.error();
    }
    token_entry_ = *tokens;
    if (image_->layout().find("rope_freqs.weight") != nullptr) {
        const auto factors = bind_tensor("rope_freqs.weight", kVectorRows, h.rope_dimensions / 2);
        if (!factors) {
            return factors.error();
        }
        rope_factors_entry_ = *factors;
    }
    for (uint32_t i = 0; i < h.layers; ++i) {
        const auto layer = bind_layer(config, i);
        if (!layer) {
            return layer.error();
        }
        layer_entries_.push_back(*layer);
    }
    layers_.resize(h.layers);
    const auto norm = bind_tensor("output_norm.weight", kVectorRows, h.embedding);
    if (!norm) {
        return norm.error();
    }
    norm_entry_ = *norm;
    output_entry_ = token_entry_;
    if (!h.tied_output) {
        const auto output = bind_tensor("output.weight", h.vocabulary, h.embedding);
        if (!output) {
            return output.error();
        }
        output_entry_ = *output;
    }
    return {};
}

Result<Weights::LayerEntries> Weights::bind_layer(const ModelConfig& config, uint32_t index) {
    struct Slot {
        std::string_view name;
        uint32_t rows;
        uint32_t columns;
        Entry LayerEntries::* entry;
    };

    const auto& h = config.base;
    const std::array<Slot, 9> slots{{
        {"attn_norm", kVectorRows, h.embedding, &LayerEntries::attention_norm},
        {"attn_q", config.query_width(), h.embedding, &LayerEntries::query},
        {"attn_k", config.kv_width(), h.embedding, &LayerEntries::key},
        {"attn_v", config.kv_width(), h.embedding, &LayerEntries::value},
        {"attn_output", h.embedding, config.query_width(), &LayerEntries::attention_out},
        {"ffn_norm", kVectorRows, h.embedding, &LayerEntries::feed_forward_norm},
        {"ffn_gate", h.feed_forward, h.embedding, &LayerEntries::gate},
        {"ffn_up", h.feed_forward, h.embedding, &LayerEntries::up},
        {"ffn_down", h.embedding, h.feed_forward, &LayerEntries::down},
    }};
    LayerEntries entries{};
    for (const Slot& slot : slots) {
        const auto entry =
            bind_tensor(fmt::format("blk.{}.{}.weight", index, slot.name), slot.rows, slot.columns);
        if (!entry) {
            return entry.error();
        }
        entries.*slot.entry = *entry;
    }
    return entries;
}

Result<Weights::Entry> Weights::bind_tensor(const std::string& name, uint32_t rows,
                                            uint32_t columns) {
    const Entry entry = image_->layout().find(name);
    if (entry == nullptr) {
        return tensor_error(ErrorCode::kCorrupt, name, "is missing in the image");
    }
    const auto checked = check_tensor(*entry, rows, columns);
    if (!checked) {
        return checked.error();
    }
    bound_.push_back(entry);
    return entry;
}

Result<void> Weights::refuse_unknown_tensors() const {
    std::vector<Entry> bound = bound_;
    std::ranges::sort(bound, std::less<>());
    for (const TensorEntry& entry : image_->layout().tensors) {
        if (!std::ranges::binary_search(bound, &entry, std::less<>())) {
            return tensor_error(ErrorCode::kUnsupported, entry.name,
                                "the llama graph has no use for it");
        }
    }
    return {};
}

// Tensors lie in the order of their first use, so those of a part lie side by side.
void Weights::add_parts() {
    const auto add = [this](std::initializer_list<Entry> entries) {
        uint64_t begin = UINT64_MAX;
        uint64_t end = 0;
        for (const Entry entry : entries) {
            begin = std::min(begin, entry->offset);
            end = std::max(end, entry->offset + entry->bytes);
        }
        first_pass_.add_part(begin, end - begin);
    };
    add({token_entry_, rope_factors_entry_ == nullptr ? token_entry_ : rope_factors_entry_});
    for (const LayerEntries& layer : layer_entries_) {
        add({layer.attention_norm, layer.query, layer.key, layer.value, layer.attention_out,
             layer.feed_forward_norm, layer.gate, layer.up, layer.down});
    }
    add({norm_entry_, output_entry_ == token_entry_ ? norm_entry_ : output_entry_});
}

Result<const std::byte*> Weights::wait(Entry entry) {
    const bool blocks = !image_->ready(entry->offset, entry->bytes);
    const Nanoseconds begun = blocks ? clock_.monotonic() : Nanoseconds{};
    auto bytes = image_->wait(entry->offset, entry->bytes);
    if (blocks) {
        waited_ += clock_.monotonic() - begun;
    }
    if (!bytes) {
        return std::move(bytes).error().with_context("tensor " + entry->name);
    }
    return bytes->data();
}

Result<void> Weights::load(Entry entry, const float*& vector) {
    const auto bytes = wait(entry);
    if (!bytes) {
        return bytes.error();
    }
    vector = reinterpret_cast<const float*>(*bytes);
    return {};
}

Result<void> Weights::load(Entry entry, kernels::PackedMatrix& matrix) {
    const auto bytes = wait(entry);
    if (!bytes) {
        return bytes.error();
    }
    matrix = {.type = entry->type, .rows = entry->rows, .columns = entry->columns, .data = *bytes};
    return {};
}

Result<const EmbeddingWeights*> Weights::embedding() {
    if (embedding_) {
        return &*embedding_;
    }
    EmbeddingWeights loaded;
    first_pass_.asked(0, clock_);
    const auto tokens = load(token_entry_, loaded.tokens);
    if (!tokens) {
        return tokens.error();
    }
    if (rope_factors_entry_ != nullptr) {
        const auto factors = load(rope_factors_entry_, loaded.rope_factors);
        if (!factors) {
            return factors.error();
        }
    }
    first_pass_.there(0, clock_);
    embedding_ = loaded;
    return &*embedding_;
}

Result<const LayerWeights*> Weights::layer(uint32_t index) {
    REKINDLE_CHECK(index < layers_.size(), "the graph asks for layers of this model");
    std::optional<LayerWeights>& layer = layers_[index];
    if (layer) {
        return &*layer;
    }
    const LayerEntries& entries = layer_entries_[index];
    LayerWeights loaded;
    first_pass_.asked(index + 1, clock_);
    Result<void> ok;
    const auto also = [&](Entry entry, auto& out) { ok = ok ? load(entry, out) : std::move(ok); };
    also(entries.attention_norm, loaded.attention_norm);
    also(entries.query, loaded.query);
    also(entries.key, loaded.key);
    also(entries.value, loaded.value);
    also(entries.attention_out, loaded.attention_out);
    also(entries.feed_forward_norm, loaded.feed_forward_norm);
    also(entries.gate, loaded.gate);
    also(entries.up, loaded.up);
    also(entries.down, loaded.down);
    if (!ok) {
        return ok.error();
    }
    first_pass_.there(index + 1, clock_);
    layer = loaded;
    return &*layer;
}

Result<const HeadWeights*> Weights::head() {
    if (head_) {
        return &*head_;
    }
    HeadWeights loaded;
    const size_t part = layers_.size() + 1;
    first_pass_.asked(part, clock_);
    const auto norm = load(norm_entry_, loaded.norm);
    if (!norm) {
        return norm.error();
    }
    const auto output = load(output_entry_, loaded.output);
    if (!output) {
        return output.error();
    }
    first_pass_.there(part, clock_);
    head_ = loaded;
    return &*head_;
}

}  // namespace rekindle::runtime
