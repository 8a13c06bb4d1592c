#include "runtime/models/llama.h"

#include <array>
#include <cmath>
#include <utility>

namespace rekindle::runtime {

using kernels::kPageTokens;

Llama::Llama(ModelConfig config, Weights weights, Compute& compute, uint32_t rows_max)
    : config_(std::move(config)),
      weights_(std::move(weights)),
      compute_(compute),
      hidden_(size_t{rows_max} * config_.base.embedding),
      delta_(size_t{rows_max} * config_.base.embedding),
      query_(size_t{rows_max} * config_.query_width()),
      key_(size_t{rows_max} * config_.kv_width()),
      value_(size_t{rows_max} * config_.kv_width()),
      gate_(size_t{rows_max} * config_.base.feed_forward),
      up_(size_t{rows_max} * config_.base.feed_forward),
      cosines_(size_t{rows_max} * config_.base.rope_dimensions / 2),
      sines_(size_t{rows_max} * config_.base.rope_dimensions / 2),
      normalized_(rows_max, config_.base.embedding),
      attended_(rows_max, config_.query_width()),
      activated_(rows_max, config_.base.feed_forward) {
    const uint32_t pairs = config_.base.rope_dimensions / 2;
    for (uint32_t i = 0; i < pairs; ++i) {
        frequencies_.push_back(std::pow(config_.base.rope_base, -static_cast<double>(i) / pairs));
    }
}

Result<void> Llama::forward(const StepRows& rows, float* logits) {
    const auto embedding = weights_.embedding();
    if (!embedding) {
        return embedding.error();
    }
    const uint32_t count = rows.count();
    prepare_positions(rows, (*embedding)->rope_factors);
    embed(rows, (*embedding)->tokens);
    for (uint32_t i = 0; i < config_.base.layers; ++i) {
        const auto waited = weights_.layer(i);
        if (!waited) {
            return waited.error();
        }
        const LayerWeights& layer = **waited;
        normalize(count, layer.attention_norm);
        project_query_key_value(layer, count);
        rotate_and_store(rows, i);
        attend(rows, i);
        project_attention_out(layer, count);
        add_and_normalize(count, layer.feed_forward_norm);
        feed_forward(layer, count);
        add(count);
    }
    if (rows.logit_rows.empty()) {
        return {};
    }
    const auto head = weights_.head();
    if (!head) {
        return head.error();
    }
    compute_logits(rows, **head, logits);
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

void Llama::embed(const StepRows& rows, const kernels::PackedMatrix& table) {
    compute_.for_rows(rows.count(), [&](uint32_t row) {
        compute_.kernels().dequantize_row(table, static_cast<uint32_t>(rows.tokens[row]),
                                          hidden_.data() + size_t{row} * table.columns);
    });
}

void Llama::normalize(uint32_t rows, const float* norm) {
    const uint32_t n = config_.base.embedding;
    compute_.for_rows(rows, [&](uint32_t row) {
        compute_.kernels().rms_norm(hidden_.data() + size_t{row} * n, norm, n,
                                    static_cast<float>(config_.base.rms_epsilon),
                                    normalized_.row(row));
        normalized_.quantize(compute_.kernels(), row);
    });
}

void Llama::project_query_key_value(const LayerWeights& layer, uint32_t rows) {
    const std::array<Projection, 3> projections{{
        {&layer.query, query_.data()},
        {&layer.key, key_.data()},
        {&layer.value, value_.data()},
    }};
    compute_.project(projections, normalized_.view(rows));
}

// Rotates queries and keys, and writes keys and values to the row's position in the cache.
void Llama::rotate_and_store(const StepRows& rows, uint32_t layer) {
    const auto& kernels = compute_.kernels();
    const uint32_t head_dim = config_.base.head_dim;
    const uint32_t rotated = config_.base.rope_dimensions;  // The rest of a head stays as it is.
    compute_.for_rows(rows.count(), [&](uint32_t row) {
        const float* cosines = cosines_.data() + size_t{row} * (rotated / 2);
        const float* sines = sines_.data() + size_t{row} * (rotated / 2);
        float* query = query_.data() + size_t{row} * config_.query_width();
        for (uint32_t head = 0; head < config_.base.heads; ++head) {
            kernels.rope_pairs(query + size_t{head} * head_dim, cosines, sines, rotated);
        }
        const uint32_t position = rows.positions[row];
        std::byte* page = rows.sequences[row]->pages()[position / kPageTokens];
        const uint64_t slot = uint64_t{position % kPageTokens} * head_dim * sizeof(uint16_t);
        for (uint32_t head = 0; head < config_.base.kv_heads; ++head) {
            const size_t first = size_t{row} * config_.kv_width() + size_t{head} * head_dim;
            kernels.rope_pairs(key_.data() + first, cosines, sines, rotated);
            std::byte* keys = page + key_offset(layer, head) + slot;
            std::byte* values = page + value_offset(layer, head) + slot;
            kernels.store_f16(key_.data() + first, head_dim, reinterpret_cast<uint16_t*>(keys));
            kernels.store_f16(value_.data() + first, head_dim, reinterpret_cast<uint16_t*>(values));
        }
    });
}

// Each position sees itself and the earlier ones of its sequence, of this step too.
void Llama::attend(const StepRows& rows, uint32_t layer) {
    const uint32_t head_dim = config_.base.head_dim;
    const uint32_t group_width = config_.group() * head_dim;
    const float scale = 1.0F / std::sqrt(static_cast<float>(head_dim));
    compute_.for_each(rows.count() * config_.base.kv_heads, [&](uint32_t item) {
        const uint32_t row = item / config_.base.kv_heads;
        const uint32_t head = item % config_.base.kv_heads;
        const size_t in_row = size_t{head} * group_width;
        compute_.kernels().attention({
            .query = query_.data() + size_t{row} * config_.query_width() + in_row,
            .pages = rows.sequences[row]->pages().data(),
            .key_offset = key_offset(layer, head),
            .value_offset = value_offset(layer, head),
            .group = config_.group(),
            .head_dim = head_dim,
            .context = rows.positions[row] + 1,
            .scale = scale,
            .out = attended_.row(row) + in_row,
        });
    });
}

void Llama::project_attention_out(const LayerWeights& layer, uint32_t rows) {
    compute_.for_rows(rows, [&](uint32_t row) { attended_.quantize(compute_.kernels(), row); });
    const std::array<Projection, 1> projection{{{&layer.attention_out, delta_.data()}}};
    compute_.project(projection, attended_.view(rows));
}

void Llama::add_and_normalize(uint32_t rows, const float* norm) {
    add(rows);
    normalize(rows, norm);
}

void Llama::feed_forward(const LayerWeights& layer, uint32_t rows) {
    const uint32_t n = config_.base.feed_forward;
    const std::array<Projection, 2> widen{{
        {&layer.gate, gate_.data()},
        {&layer.up, up_.data()},
    }};
    compute_.project(widen, normalized_.view(rows));
    compute_.for_rows(rows, [&](uint32_t row) {
        const size_t first = size_t{row} * n;
        compute_.kernels().silu_mul(gate_.data() + first, up_.data() + first, n,
                                    activated_.row(row));
        activated_.quantize(compute_.kernels(), row);
    });
    const std::array<Projection, 1> narrow{{{&layer.down, delta_.data()}}};
    compute_.project(narrow, activated_.view(rows));
}

void Llama::add(uint32_t rows) {
    const uint32_t n = config_.base.embedding;
    compute_.for_rows(rows, [&](uint32_t row) {
        const size_t first = size_t{row} * n;
        compute_.kernels().add(hidden_.data() + first, delta_.data() + first, n);
    });
}

// Only the rows whose logits are wanted pass through the final norm and the output head.
void Llama::compute_logits(const StepRows& rows, const HeadWeights& head, float* logits) {
    const uint32_t n = config_.base.embedding;
    const auto wanted = static_cast<uint32_t>(rows.logit_rows.size());
    compute_.for_rows(wanted, [&](uint32_t i) {
        compute_.kernels().rms_norm(hidden_.data() + size_t{rows.logit_rows[i]} * n, head.norm, n,
                                    static_cast<float>(config_.base.rms_epsilon),
                                    normalized_.row(i));
        normalized_.quantize(compute_.kernels(), i);
    });
    const std::array<Projection, 1> projection{{{&head.output, logits}}};
    compute_.project(projection, normalized_.view(wanted));
}

uint64_t Llama::key_offset(uint32_t layer, uint32_t kv_head) const noexcept {
    const auto& h = config_.base;
    const uint64_t head_bytes = uint64_t{kPageTokens} * h.head_dim * sizeof(uint16_t);
    return (uint64_t{layer} * 2 * h.kv_heads + kv_head) * head_bytes;
}

uint64_t Llama::value_offset(uint32_t layer, uint32_t kv_head) const noexcept {
    const auto& h = config_.base;
    const uint64_t head_bytes = uint64_t{kPageTokens} * h.head_dim * sizeof(uint16_t);
    return key_offset(layer, kv_head) + h.kv_heads * head_bytes;
}

}  // namespace rekindle::runtime
