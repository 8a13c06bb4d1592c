// Everything of a layer but the matrix product, in plain C++: the reference for every other table.
#include "kernels/detail/half.h"
#include "kernels/detail/tables.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace rekindle::kernels::scalar {
namespace {

// A head's keys or values in a page.
class HeadNumbers {
public:
    HeadNumbers(KvType type, uint32_t head_dim, const std::byte* base)
        : type_(type), base_(base), scales_(base + size_t{kPageTokens} * head_dim) {}

    // The one at `index`, of `position`.
    float load(size_t index, uint32_t position) const {
        if (type_ == KvType::kQ8_0) {
            int8_t quant = 0;
            std::memcpy(&quant, base_ + index, sizeof quant);
            float scale = 0;
            std::memcpy(&scale, scales_ + position * sizeof scale, sizeof scale);
            return static_cast<float>(quant) * scale;
        }
        uint16_t half = 0;
        std::memcpy(&half, base_ + index * sizeof half, sizeof half);
        return type_ == KvType::kF16 ? detail::half_to_float(half) : detail::bfloat_to_float(half);
    }

private:
    KvType type_;
    const std::byte* base_;
    const std::byte* scales_;  // [kPageTokens] floats of kQ8_0
};

// One row's keys or values to their place in a page: number d at first + d * step.
struct RowPlace {
    std::byte* base;
    uint32_t slot;
    size_t first;
    size_t step;
};

void store_halves(const KvStoreArgs& args, const float* values, const RowPlace& place) {
    for (uint32_t d = 0; d < args.head_dim; ++d) {
        const uint16_t half = args.type == KvType::kF16 ? detail::float_to_half(values[d])
                                                        : detail::float_to_bfloat(values[d]);
        std::memcpy(place.base + (place.first + d * place.step) * sizeof half, &half, sizeof half);
    }
}

void store_quants(const KvStoreArgs& args, const float* values, const RowPlace& place) {
    constexpr float kSteps = 127;
    float max = 0;
    bool finite = true;
    for (uint32_t d = 0; d < args.head_dim; ++d) {
        finite = finite && std::isfinite(values[d]);
        max = std::max(max, std::abs(values[d]));
    }
    const bool rounds = finite && max >= kQuantizeFloor;
    const float inverse = rounds ? kSteps / max : 0;
    const float scale =
        rounds ? max / kSteps : (finite ? 0 : std::numeric_limits<float>::quiet_NaN());
    for (uint32_t d = 0; d < args.head_dim; ++d) {
        const float rounded = rounds ? std::nearbyint(values[d] * inverse) : 0;
        const auto quant = static_cast<int8_t>(rounded);
        std::memcpy(place.base + place.first + d * place.step, &quant, sizeof quant);
    }
    const size_t numbers = size_t{kPageTokens} * args.head_dim;
    std::memcpy(place.base + numbers + place.slot * sizeof scale, &scale, sizeof scale);
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
    KvType type;
    const float* query;  // [head_dim]
    float scale;
    uint32_t head_dim;
    uint32_t begin;
    uint32_t end;
    float* out;  // [head_dim]
};

void attend_page(const PageQuery& q, const std::byte* page_keys, const std::byte* page_values,
                 RunningSoftmax& softmax) {
    const HeadNumbers keys(q.type, q.head_dim, page_keys);
    const HeadNumbers values(q.type, q.head_dim, page_values);
    float scores[kPageTokens] = {};
    for (uint32_t d = 0; d < q.head_dim; ++d) {
        for (uint32_t p = q.begin; p < q.end; ++p) {
            scores[p] += q.query[d] * keys.load(size_t{d} * kPageTokens + p, p);
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
            q.out[d] += scores[p] * values.load(size_t{p} * q.head_dim + d, p);
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
        const PageQuery part{.type = args.type,
                             .query = query,
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
    const auto store = args.type == KvType::kQ8_0 ? store_quants : store_halves;
    for (uint32_t row = 0; row < args.rows; ++row) {
        const uint32_t slot = args.slot + row;
        store(args, args.keys + row * args.stride,
              {.base = args.page_keys, .slot = slot, .first = slot, .step = kPageTokens});
        store(args, args.values + row * args.stride,
              {.base = args.page_values,
               .slot = slot,
               .first = size_t{slot} * args.head_dim,
               .step = 1});
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
