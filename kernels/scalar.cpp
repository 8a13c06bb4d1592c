// Everything of a layer but the matrix product, in plain C++: the reference for every other table.
#include "kernels/detail/half.h"
#include "kernels/detail/tables.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace rekindle::kernels::scalar {
namespace {

constexpr uint32_t kLanes =
    16;  // Partial sums of a dot product, so that the compiler may use SSE2.

float dot(const float* a, const float* b, uint32_t n) {
    float lanes[kLanes] = {};
    for (uint32_t i = 0; i < n; i += kLanes) {
        for (uint32_t lane = 0; lane < kLanes; ++lane) {
            lanes[lane] += a[i + lane] * b[i + lane];
        }
    }
    for (uint32_t width = kLanes / 2; width > 0; width /= 2) {
        for (uint32_t lane = 0; lane < width; ++lane) {
            lanes[lane] += lanes[lane + width];
        }
    }
    return lanes[0];
}

// F16 [positions][head_dim] at `base` to float; one page of one head at most.
void load_page(const std::byte* base, uint32_t positions, uint32_t head_dim, float* out) {
    for (uint32_t i = 0; i < positions * head_dim; ++i) {
        uint16_t half = 0;
        std::memcpy(&half, base + size_t{i} * sizeof half, sizeof half);
        out[i] = detail::half_to_float(half);
    }
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

void attend_page(const AttentionArgs& args, const std::byte* page, uint32_t positions,
                 RunningSoftmax* softmax) {
    float rows[kPageTokens * kHeadDimMax];
    float scores[kGroupMax][kPageTokens];
    load_page(page + args.key_offset, positions, args.head_dim, rows);
    for (uint32_t head = 0; head < args.group; ++head) {
        const float* query = args.query + size_t{head} * args.head_dim;
        for (uint32_t j = 0; j < positions; ++j) {
            scores[head][j] =
                dot(query, rows + size_t{j} * args.head_dim, args.head_dim) * args.scale;
        }
    }
    load_page(page + args.value_offset, positions, args.head_dim, rows);
    for (uint32_t head = 0; head < args.group; ++head) {
        float* out = args.out + size_t{head} * args.head_dim;
        const float shrink = softmax[head].absorb(scores[head], positions);
        for (uint32_t d = 0; d < args.head_dim; ++d) {
            out[d] *= shrink;
        }
        for (uint32_t j = 0; j < positions; ++j) {
            const float weight = scores[head][j];
            for (uint32_t d = 0; d < args.head_dim; ++d) {
                out[d] += weight * rows[size_t{j} * args.head_dim + d];
            }
        }
    }
}

}  // namespace

void rms_norm(const float* x, const float* weight, uint32_t n, float epsilon, float* out) noexcept {
    double sum = 0;
    for (uint32_t i = 0; i < n; ++i) {
        sum += double{x[i]} * x[i];
    }
    const auto factor = static_cast<float>(1.0 / std::sqrt(sum / n + double{epsilon}));
    for (uint32_t i = 0; i < n; ++i) {
        out[i] = x[i] * factor * weight[i];
    }
}

void rope_pairs(float* head, const float* cos, const float* sin, uint32_t head_dim) noexcept {
    for (uint32_t pair = 0; pair < head_dim / 2; ++pair) {
        const float first = head[2 * pair];
        const float second = head[2 * pair + 1];
        head[2 * pair] = first * cos[pair] - second * sin[pair];
        head[2 * pair + 1] = first * sin[pair] + second * cos[pair];
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

void store_f16(const float* x, uint32_t n, uint16_t* out) noexcept {
    for (uint32_t i = 0; i < n; ++i) {
        out[i] = detail::float_to_half(x[i]);
    }
}

void attention(const AttentionArgs& args) noexcept {
    RunningSoftmax softmax[kGroupMax];
    std::memset(args.out, 0, size_t{args.group} * args.head_dim * sizeof(float));
    for (uint32_t first = 0; first < args.context; first += kPageTokens) {
        const uint32_t positions = std::min(kPageTokens, args.context - first);
        attend_page(args, args.pages[first / kPageTokens], positions, softmax);
    }
    for (uint32_t head = 0; head < args.group; ++head) {
        float* out = args.out + size_t{head} * args.head_dim;
        for (uint32_t d = 0; d < args.head_dim; ++d) {
            out[d] /= softmax[head].sum;
        }
    }
}

}  // namespace rekindle::kernels::scalar
