// Everything of a layer but the matrix product, in plain C++: the reference for every other table.
#include "kernels/detail/half.h"
#include "kernels/detail/tables.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace rekindle::kernels::scalar {
namespace {

// The F16 value at `index`.
float load_half(const std::byte* base, size_t index) {
    uint16_t half = 0;
    std::memcpy(&half, base + index * sizeof half, sizeof half);
    return detail::half_to_float(half);
}

void store_half(std::byte* base, size_t index, float value) {
    const uint16_t half = detail::float_to_half(value);
    std::memcpy(base + index * sizeof half, &half, sizeof half);
}

// Softmax over the positions seen so far, for one query head.
struct RunningSoftmax {
    float max = -std::numeric_limits<float>::infinity();
    float sum = 0;

    // Replaces scores by their weights relative to the new maximum; returns the factor by which
    // everything accumulated before has to shrink.
    float absorb(float* scores, uint32_t positions) {
        const float before = max;
        max = std::max(max, *std::max_element(scores, scores + positions));
        const float shrink = std::exp(before - max);
        sum *= shrink;
        for (uint32_t j = 0; j < positions; ++j) {
            scores[j] = std::exp(scores[j] - max);
            sum += scores[j];
        }
        return shrink;
    }
};

// One query over positions [begin, end) of a page.
struct PageQuery {
    const float* query;  // [head_dim]
    float scale;
    uint32_t head_dim;
    uint32_t begin;
    uint32_t end;
    float* out;  // [head_dim]
};

void attend_page(const PageQuery& q, const std::byte* keys, const std::byte* values,
                 RunningSoftmax& softmax) {
    float scores[kPageTokens] = {};
    for (uint32_t d = 0; d < q.head_dim; ++d) {
        for (uint32_t p = q.begin; p < q.end; ++p) {
            scores[p] += q.query[d] * load_half(keys, size_t{d} * kPageTokens + p);
        }
    }
    for (float& score : scores) {
        score *= q.scale;
    }
    const float shrink = softmax.absorb(scores + q.begin, q.end - q.begin);
    for (uint32_t d = 0; d < q.head_dim; ++d) {
        q.out[d] *= shrink;
    }
    for (uint32_t p = q.begin; p < q.end; ++p) {
        for (uint32_t d = 0; d < q.head_dim; ++d) {
            q.out[d] += scores[p] * load_half(values, size_t{p} * q.head_dim + d);
        }
    }
}

// One head of the row at `position`.
void attend_head(const AttentionArgs& args, const float* query, uint32_t position, float* out) {
    const uint32_t context = position + 1;
    const uint32_t oldest = args.window != 0 && context > args.window ? context - args.window : 0;
    RunningSoftmax softmax;
    std::fill_n(out, args.head_dim, 0.0F);
    for (uint32_t page = oldest / kPageTokens; page * kPageTokens < context; ++page) {
        const uint32_t first = page * kPageTokens;
        const PageQuery part{.query = query,
                             .scale = args.scale,
                             .head_dim = args.head_dim,
                             .begin = std::max(oldest, first) - first,
                             .end = std::min(context, first + kPageTokens) - first,
                             .out = out};
        attend_page(part, args.pages[page] + args.key_offset, args.pages[page] + args.value_offset,
                    softmax);
    }
    for (uint32_t d = 0; d < args.head_dim; ++d) {
        out[d] /= softmax.sum;
    }
}

}  // namespace

void rms_norm(const NormArgs& args) noexcept {
    double sum = 0;
    for (uint32_t i = 0; i < args.n; ++i) {
        if (args.delta != nullptr) {
            args.x[i] += args.delta[i];
        }
        sum += double{args.x[i]} * args.x[i];
    }
    const auto factor = static_cast<float>(1.0 / std::sqrt(sum / args.n + double{args.epsilon}));
    for (uint32_t i = 0; i < args.n; ++i) {
        args.out[i] = args.x[i] * factor * args.weight[i];
    }
}

void rope_pairs(const RopeArgs& args) noexcept {
    for (uint32_t head = 0; head < args.count; ++head) {
        float* values = args.heads + size_t{head} * args.head_dim;
        for (uint32_t pair = 0; pair < args.rotated / 2; ++pair) {
            const float first = values[2 * pair];
            const float second = values[2 * pair + 1];
            values[2 * pair] = first * args.cos[pair] - second * args.sin[pair];
            values[2 * pair + 1] = first * args.sin[pair] + second * args.cos[pair];
        }
    }
}

void silu_mul(const float* gate, const float* up, uint32_t n, float* out) noexcept {
    for (uint32_t i = 0; i < n; ++i) {
        out[i] = gate[i] / (1.0F + std::exp(-gate[i])) * up[i];
    }
}

void add(float* x, const float* y, uint32_t n) noexcept {
    for (uint32_t i = 0; i < n; ++i) {
        x[i] += y[i];
    }
}

void store_kv(const KvStoreArgs& args) noexcept {
    for (uint32_t row = 0; row < args.rows; ++row) {
        const uint32_t slot = args.slot + row;
        for (uint32_t d = 0; d < args.head_dim; ++d) {
            const size_t from = row * args.stride + d;
            store_half(args.page_keys, size_t{d} * kPageTokens + slot, args.keys[from]);
            store_half(args.page_values, size_t{slot} * args.head_dim + d, args.values[from]);
        }
    }
}

void attention(const AttentionArgs& args) noexcept {
    for (uint32_t row = 0; row < args.rows; ++row) {
        for (uint32_t head = 0; head < args.group; ++head) {
            const size_t in_row = size_t{head} * args.head_dim;
            attend_head(args, args.query + row * args.query_stride + in_row, args.position + row,
                        args.out + row * args.out_stride + in_row);
        }
    }
}

}  // namespace rekindle::kernels::scalar
