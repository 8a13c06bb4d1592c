// The graph of GGUF's `llama` architecture: RMSNorm, rotary positions over adjacent pairs, grouped
// query attention over the paged cache, SwiGLU, a tied or separate output head.
// Invariant: a row's result depends on its token, position and earlier positions of its sequence
// only, never on the other rows of the step.
// Threading: the engine thread. Lifetime: the image outlives it.
#pragma once
#include "base/result.h"
#include "runtime/aligned_buffer.h"
#include "runtime/compute.h"
#include "runtime/model_config.h"
#include "runtime/step_rows.h"
#include "runtime/weights.h"

#include <cstdint>
#include <vector>

namespace rekindle::runtime {

struct LlamaOptions {
    uint32_t rows_max = 0;  // Of a step.
    kernels::KvType kv_type = kernels::KvType::kF16;
};

class Llama {
public:
    Llama(ModelConfig config, Weights weights, Compute& compute, const LlamaOptions& options);

    // Computes all rows, writes their keys and values into their sequences' pages (which must hold
    // the positions), and appends the logits [vocabulary] of each of rows.logit_rows, valid until
    // the next call. kUnavailable when weights failed to arrive.
    Result<void> forward(const StepRows& rows, std::vector<const float*>& logits);

    const Weights& weights() const noexcept { return weights_; }

private:
    // Rows of one sequence at positions that follow one another within one page.
    struct RowRun {
        uint32_t first;
        uint32_t count;
    };

    void find_runs(const StepRows& rows);
    void prepare_positions(const StepRows& rows, const float* rope_factors);
    void embed(const StepRows& rows, const kernels::PackedMatrix& table);
    void normalize(uint32_t rows, const float* norm, const float* delta, ActivationBuffer& out);
    void project_query_key_value(const LayerWeights& layer, uint32_t rows);
    void rotate_and_store(const StepRows& rows, uint32_t layer);
    void rotate(uint32_t row);
    void attend(const StepRows& rows, uint32_t layer);
    void project_attention_out(const LayerWeights& layer, uint32_t rows);
    void feed_forward(const LayerWeights& layer, uint32_t rows);
    void compute_logits(const StepRows& rows, const HeadWeights& head,
                        std::vector<const float*>& logits);
    void reserve_logits(size_t rows);

    // Bytes from a page's base to the keys (or values) of (layer, kv head).
    uint64_t key_offset(uint32_t layer, uint32_t kv_head) const noexcept;
    uint64_t value_offset(uint32_t layer, uint32_t kv_head) const noexcept;

    ModelConfig config_;
    const kernels::KvType kv_type_;
    Weights weights_;
    Compute& compute_;
    std::vector<double> frequencies_;  // [rope_dimensions / 2] radians per position
    std::vector<RowRun> runs_;         // Of the step, in order of rows.

    ActivationBuffer attention_in_;     // [rows_max][embedding]
    ActivationBuffer attended_;         // [rows_max][heads][head_dim]
    ActivationBuffer feed_forward_in_;  // [rows_max][embedding]
    ActivationBuffer activated_;        // [rows_max][feed_forward]
    ActivationBuffer head_in_;          // [rows_max][embedding]

    AlignedBuffer<float> hidden_;   // [rows_max][embedding], the residual stream
    AlignedBuffer<float> delta_;    // [rows_max][embedding], what a block adds to it
    AlignedBuffer<float> query_;    // [rows_max][heads][head_dim]
    AlignedBuffer<float> key_;      // [rows_max][kv_heads][head_dim]
    AlignedBuffer<float> value_;    // [rows_max][kv_heads][head_dim]
    AlignedBuffer<float> gate_;     // [rows_max][feed_forward]
    AlignedBuffer<float> up_;       // [rows_max][feed_forward]
    AlignedBuffer<float> cosines_;  // [rows_max][rope_dimensions / 2]
    AlignedBuffer<float> sines_;    // [rows_max][rope_dimensions / 2]
    AlignedBuffer<float> logits_;   // [rows wanted][vocabulary], grown to the largest step
};

}  // namespace rekindle::runtime
