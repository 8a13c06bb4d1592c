// The tensors of a llama image, bound by GGUF's names and checked against the hyperparameters at
// once, but waited for (latches) one layer at a time, just before first use.
// Invariant: no byte of a tensor is read before its chunks were ready.
// Threading: the engine thread. Lifetime: the image outlives the weights.
#pragma once
#include "base/clock.h"
#include "base/result.h"
#include "kernels/kernel_table.h"
#include "runtime/first_pass.h"
#include "runtime/model_config.h"
#include "snapshot/view/image_view.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace rekindle::runtime {

struct LayerWeights {
    const float* attention_norm = nullptr;     // [embedding]
    kernels::PackedMatrix query;               // [heads x head_dim][embedding]
    kernels::PackedMatrix key;                 // [kv_heads x head_dim][embedding]
    kernels::PackedMatrix value;               // [kv_heads x head_dim][embedding]
    kernels::PackedMatrix attention_out;       // [embedding][heads x head_dim]
    const float* feed_forward_norm = nullptr;  // [embedding]
    kernels::PackedMatrix gate;                // [feed_forward][embedding]
    kernels::PackedMatrix up;                  // [feed_forward][embedding]
    kernels::PackedMatrix down;                // [embedding][feed_forward]
};

struct EmbeddingWeights {
    kernels::PackedMatrix tokens;         // [vocabulary][embedding]
    const float* rope_factors = nullptr;  // [rope_dimensions / 2], or null: all 1
};

struct HeadWeights {
    const float* norm = nullptr;   // [embedding]
    kernels::PackedMatrix output;  // [vocabulary][embedding]
};

class Weights {
public:
    // kCorrupt or kUnsupported, naming the tensor: absent, of another shape, or unknown to the
    // graph (a tensor that would be ignored would give wrong answers).
    static Result<Weights> bind(const snapshot::ImageView& image, const ModelConfig& config);

    // Each blocks until the tensors are there, once; kUnavailable when their chunks failed.
    Result<const EmbeddingWeights*> embedding();
    Result<const LayerWeights*> layer(uint32_t index);
    Result<const HeadWeights*> head();

    // Time that was spent waiting for tensors so far.
    Nanoseconds waited() const noexcept { return waited_; }

    // The graph has worked through a part: 0 is the embedding, then come the layers and the head.
    void worked(uint32_t part) noexcept { first_pass_.ended(part, clock_); }
    std::span<const PartTimes> first_pass() const noexcept { return first_pass_.parts(); }

private:
    using Entry = const snapshot::TensorEntry*;

    struct LayerEntries {
        Entry attention_norm, query, key, value, attention_out;
        Entry feed_forward_norm, gate, up, down;
    };

    explicit Weights(const snapshot::ImageView& image) : image_(&image) {}

    Result<void> bind_model(const ModelConfig& config);
    Result<LayerEntries> bind_layer(const ModelConfig& config, uint32_t index);
    Result<Entry> bind_tensor(const std::string& name, uint32_t rows, uint32_t columns);
    Result<void> refuse_unknown_tensors() const;
    void add_parts();
    Result<const std::byte*> wait(Entry entry);
    Result<void> load(Entry entry, const float*& vector);
    Result<void> load(Entry entry, kernels::PackedMatrix& matrix);

    const snapshot::ImageView* image_;
    SystemClock clock_;
    Nanoseconds waited_{};
    FirstPass first_pass_;
    std::vector<Entry> bound_;
    Entry token_entry_ = nullptr;
    Entry rope_factors_entry_ = nullptr;  // May be absent.
    Entry norm_entry_ = nullptr;
    Entry output_entry_ = nullptr;  // The token embedding when tied.
    std::vector<LayerEntries> layer_entries_;
    // Filled at first use.
    std::optional<EmbeddingWeights> embedding_;
    std::vector<std::optional<LayerWeights>> layers_;
    std::optional<HeadWeights> head_;
};

}  // namespace rekindle::runtime
