#include "runtime/models/llama.h"

#include <array>
#include <cmath>
#include <utility>

namespace rekindle::runtime {

using kernels::kPageTokens;

namespace {

// Of the error that rounding inputs to 8 bits makes in SmolLM2's log-probabilities, 44 % of the
// variance comes from queries, keys and values (their inputs have the largest outliers) and 9 %
// from the output head, for 16 % of a layer's multiplications and none for most prompt tokens.
// These two get 16 bits (docs/benchmarks.md, "Numerics").
constexpr Rounding kRoundingOfOutliers = Rounding::k16Bits;

}  // namespace

Llama::Llama(ModelConfig config, Weights weights, Compute& compute, const LlamaOptions& options)
    : config_(std::move(config)),
      kv_type_(options.kv_type),
      weights_(std::move(weights)),
      compute_(compute),
      attention_in_(options.rows_max, config_.base.embedding, kRoundingOfOutliers),
      attended_(options.rows_max, config_.query_width(), Rounding::k8Bits),
      feed_forward_in_(options.rows_max, config_.base.embedding, Rounding::k8Bits),
      activated_(options.rows_max, config_.base.feed_forward, Rounding::k8Bits),
      head_in_(options.rows_max, config_.base.embedding, kRoundingOfOutliers),
      hidden_(size_t{options.rows_max} * config_.base.embedding),
      delta_(size_t{options.rows_max} * config_.base.embedding),
      query_(size_t{options.rows_max} * config_.query_width()),
      key_(size_t{options.rows_max} * config_.kv_width()),
      value_(size_t{options.rows_max} * config_.kv_width()),
      gate_(size_t{options.rows_max} * config_.base.feed_forward),
      up_(size_t{options.rows_max} * config_.base.feed_forward),
      cosines_(size_t{options.rows_max} * config_.base.rope_dimensions / 2),
      sines_(size_t{options.rows_max} * config_.base.rope_dimensions / 2) {
    const uint32_t pairs = config_.base.rope_dimensions / 2;
    for (uint32_t i = 0; i < pairs; ++i) {
        frequencies_.push_back(std::pow(config_.base.rope_base, -static_cast<double>(i) / pairs));
    }
}

Result<void> Llama::forward(const StepRows& rows, std::vector<const float*>& logits) {
    const auto embedding = weights_.embedding();
    if (!embedding) {
        return embedding.error();
    }
    const uint32_t count = rows.count();
    find_runs(rows);
    prepare_positions(rows, (*embedding)->rope_factors);
    embed(rows, (*embedding)->tokens);
    compute_.ended(Op::kEmbed);
    weights_.worked(0);
    for (uint32_t i = 0; i < config_.base.layers; ++i) {
        const auto waited = weights_.layer(i);
        if (!waited) {
            return waited.error();
        }
        const LayerWeights& layer = **waited;
        normalize(count, layer.attention_norm, i == 0 ? nullptr : delta_.data(), attention_in_);
        compute_.ended(Op::kNorm);
        project_query_key_value(layer, count);
        compute_.ended(Op::kQueryKeyValue);
        rotate_and_store(rows, i);
        compute_.ended(Op::kStore);
        attend(rows, i);
        compute_.ended(Op::kAttention);
        project_attention_out(layer, count);
        compute_.ended(Op::kAttentionOut);
        normalize(count, layer.feed_forward_norm, delta_.data(), feed_forward_in_);
        compute_.ended(Op::kNorm);
        feed_forward(layer, count);
        weights_.worked(i + 1);
    }
    if (rows.logit_rows.empty()) {
        return {};
    }
    const auto head = weights_.head();
    if (!head) {
        return head.error();
    }
    compute_logits(rows, **head, logits);
    compute_.ended(Op::kHead);
    weights_.worked(config_.base.layers + 1);
    return {};
}

void Llama::prepare_positions(const StepRows& rows, const float* rope_factors) {
    const auto pairs = static_cast<uint32_t>(frequencies_.size());
    compute_.for_rows(rows.count(), [&](uint32_t row) {
        const size_t first = size_t{row} * pairs;
        for (uint32_t i = 0; i < pairs; ++i) {
            const double factor = rope_factors == nullptr ? 1.0 : double{rope_factors[i]};
            const double angle = rows.positions[row] * frequencies_[i] / factor;
            cosines_.data()[first + i] = static_cast<float>(std::cos(angle));
            sines_.data()[first + i] = static_cast<float>(std::sin(angle));
        }
    });
}

void Llama::find_runs(const StepRows& rows) {
    runs_.clear();
    for (uint32_t row = 0; row < rows.count(); ++row) {
        const uint32_t position = rows.positions[row];
        const bool follows = row > 0 && rows.sequences[row] == rows.sequences[row - 1] &&
                             position == rows.positions[row - 1] + 1 && position % kPageTokens != 0;
        if (follows) {
            ++runs_.back().count;
        } else {
            runs_.push_back({.first = row, .count = 1});
        }
    }
}

void Llama::embed(const StepRows& rows, const kernels::PackedMatrix& table) {
    compute_.for_rows(rows.count(), [&](uint32_t row) {
        compute_.kernels().dequantize_row(table, static_cast<uint32_t>(rows.tokens[row]),
                                          hidden_.data() + size_t{row} * table.columns);
    });
}

// Adds what the block before left in `delta`, if any, to the residual stream first.
void Llama::normalize(uint32_t rows, const float* norm, const float* delta, ActivationBuffer& out) {
    const uint32_t n = config_.base.embedding;
    compute_.for_rows(rows, [&](uint32_t row) {
        const size_t first = size_t{row} * n;
        compute_.kernels().rms_norm({.x = hidden_.data() + first,
                                     .delta = delta == nullptr ? nullptr : delta + first,
                                     .weight = norm,
                                     .n = n,
                                     .epsilon = static_cast<float>(config_.base.rms_epsilon),
                                     .out = out.row(row)});
        out.quantize(compute_.kernels(), row);
    });
}

void Llama::project_query_key_value(const LayerWeights& layer, uint32_t rows) {
    const std::array<Projection, 3> projections{{
        {&layer.query, query_.data()},
        {&layer.key, key_.data()},
        {&layer.value, value_.data()},
    }};
    compute_.project(projections, attention_in_.view(rows));
}

// Rotates queries and keys, and writes keys and values to the rows' positions in the cache. A run
// lies in one page and is written by one thread, so no two threads write to the same cache line.
void Llama::rotate_and_store(const StepRows& rows, uint32_t layer) {
    compute_.for_each(static_cast<uint32_t>(runs_.size()), [&](uint32_t index) {
        const RowRun& run = runs_[index];
        for (uint32_t row = run.first; row < run.first + run.count; ++row) {
            rotate(row);
        }
        const uint32_t head_dim = config_.base.head_dim;
        const size_t stride = config_.kv_width();
        const uint32_t position = rows.positions[run.first];
        std::byte* page = rows.sequences[run.first]->pages()[position / kPageTokens];
        for (uint32_t head = 0; head < config_.base.kv_heads; ++head) {
            const size_t first = run.first * stride + size_t{head} * head_dim;
            compute_.kernels().store_kv({.type = kv_type_,
                                         .keys = key_.data() + first,
                                         .values = value_.data() + first,
                                         .stride = stride,
                                         .rows = run.count,
                                         .slot = position % kPageTokens,
                                         .head_dim = head_dim,
                                         .page_keys = page + key_offset(layer, head),
                                         .page_values = page + value_offset(layer, head)});
        }
    });
}

void Llama::rotate(uint32_t row) {
    const auto& kernels = compute_.kernels();
    const uint32_t rotated = config_.base.rope_dimensions;  // The rest of a head stays as it is.
    kernels::RopeArgs args{.heads = query_.data() + size_t{row} * config_.query_width(),
                           .count = config_.base.heads,
                           .head_dim = config_.base.head_dim,
                           .rotated = rotated,
                           .cos = cosines_.data() + size_t{row} * (rotated / 2),
                           .sin = sines_.data() + size_t{row} * (rotated / 2)};
    kernels.rope_pairs(args);
    args.heads = key_.data() + size_t{row} * config_.kv_width();
    args.count = config_.base.kv_heads;
    kernels.rope_pairs(args);
}

// Each position sees itself and the earlier ones of its sequence, of this step too.
void Llama::attend(const StepRows& rows, uint32_t layer) {
    const uint32_t head_dim = config_.base.head_dim;
    const uint32_t group_width = config_.group() * head_dim;
    const size_t query_stride = config_.query_width();
    const auto items = static_cast<uint32_t>(runs_.size()) * config_.base.kv_heads;
    compute_.for_each(items, [&](uint32_t index) {
        // The last rows of a prompt see most: taken first, no thread waits for them at the end.
        const uint32_t item = items - 1 - index;
        const RowRun& run = runs_[item / config_.base.kv_heads];
        const uint32_t head = item % config_.base.kv_heads;
        const size_t in_row = size_t{head} * group_width;
        compute_.kernels().attention({
            .type = kv_type_,
            .query = query_.data() + run.first * query_stride + in_row,
            .query_stride = query_stride,
            .pages = rows.sequences[run.first]->pages().data(),
            .key_offset = key_offset(layer, head),
            .value_offset = value_offset(layer, head),
            .rows = run.count,
            .position = rows.positions[run.first],
            .group = config_.group(),
            .head_dim = head_dim,
            .scale = 1.0F / std::sqrt(static_cast<float>(head_dim)),
            .out = attended_.row(run.first) + in_row,
            .out_stride = attended_.row_stride(),
        });
    });
}

void Llama::project_attention_out(const LayerWeights& layer, uint32_t rows) {
    compute_.for_rows(rows, [&](uint32_t row) { attended_.quantize(compute_.kernels(), row); });
    const std::array<Projection, 1> projection{{{&layer.attention_out, delta_.data()}}};
    compute_.project(projection, attended_.view(rows));
}

void Llama::feed_forward(const LayerWeights& layer, uint32_t rows) {
    const uint32_t n = config_.base.feed_forward;
    const std::array<Projection, 2> widen{{
        {&layer.gate, gate_.data()},
        {&layer.up, up_.data()},
    }};
    compute_.project(widen, feed_forward_in_.view(rows));
    compute_.ended(Op::kGateUp);
    compute_.for_rows(rows, [&](uint32_t row) {
        const size_t first = size_t{row} * n;
        compute_.kernels().silu_mul(gate_.data() + first, up_.data() + first, n,
                                    activated_.row(row));
        activated_.quantize(compute_.kernels(), row);
    });
    compute_.ended(Op::kActivation);
    const std::array<Projection, 1> narrow{{{&layer.down, delta_.data()}}};
    compute_.project(narrow, activated_.view(rows));
    compute_.ended(Op::kDown);
}

// Only the rows whose logits are wanted pass through the final norm and the output head.
void Llama::compute_logits(const StepRows& rows, const HeadWeights& head,
                           std::vector<const float*>& logits) {
    const auto& kernels = compute_.kernels();
    const uint32_t n = config_.base.embedding;
    const auto wanted = static_cast<uint32_t>(rows.logit_rows.size());
    compute_.for_rows(wanted, [&](uint32_t i) {
        const size_t first = size_t{rows.logit_rows[i]} * n;
        kernels.rms_norm({.x = hidden_.data() + first,
                          .delta = delta_.data() + first,
                          .weight = head.norm,
                          .n = n,
                          .epsilon = static_cast<float>(config_.base.rms_epsilon),
                          .out = head_in_.row(i)});
        head_in_.quantize(kernels, i);
    });
    reserve_logits(wanted);
    const std::array<Projection, 1> projection{{{&head.output, logits_.data()}}};
    compute_.project(projection, head_in_.view(wanted));
    for (uint32_t i = 0; i < wanted; ++i) {
        logits.push_back(logits_.data() + size_t{i} * config_.base.vocabulary);
    }
}

void Llama::reserve_logits(size_t rows) {
    const size_t floats = rows * config_.base.vocabulary;
    if (floats > logits_.size()) {
        logits_ = AlignedBuffer<float>(floats);
    }
}

uint64_t Llama::key_offset(uint32_t layer, uint32_t kv_head) const noexcept {
    const auto& h = config_.base;
    const uint64_t head_bytes = kernels::kv_head_bytes(kv_type_, h.head_dim);
    return (uint64_t{layer} * 2 * h.kv_heads + kv_head) * head_bytes;
}

uint64_t Llama::value_offset(uint32_t layer, uint32_t kv_head) const noexcept {
    const auto& h = config_.base;
    const uint64_t head_bytes = kernels::kv_head_bytes(kv_type_, h.head_dim);
    return key_offset(layer, kv_head) + h.kv_heads * head_bytes;
}

}  // namespace rekindle::runtime
