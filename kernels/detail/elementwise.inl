// Norms, rotations, activations and rounding of rows, for any register width: `V` is the Vector of
// an instruction set. Tails go through the same instructions with lanes masked, so an element's
// bits depend neither on its place nor on the length of the row. For files that are compiled for
// one instruction set; internal linkage and no library templates, see README.md.
#pragma once
#include "kernels/kernel_table.h"

#include <immintrin.h>

namespace rekindle::kernels {
namespace {

// body(first, lanes) for each vector of n elements; lanes < V::kLanes in the last one only.
template <typename V, typename Body>
[[gnu::always_inline]] inline void for_vectors(uint32_t n, const Body& body) {
    uint32_t i = 0;
    for (; i + V::kLanes <= n; i += V::kLanes) {
        body(i, V::kLanes);
    }
    if (i < n) {
        body(i, n - i);
    }
}

template <typename V>
void quantize_row(const float* values, uint32_t k, int8_t* quants, float* scales,
                  int16_t* half_sums) {
    typename V::Floats x[V::kBlockVectors];
    for (uint32_t block = 0; block < k / kBlockColumns; ++block) {
        const size_t first = static_cast<size_t>(block) * kBlockColumns;
        for (uint32_t i = 0; i < V::kBlockVectors; ++i) {
            x[i] = V::load(values + first + i * V::kLanes);
        }
        V::quantize_block(x, quants + first, scales + block, half_sums + 2 * block);
    }
}

template <typename V>
void quantize_row_twice(const float* values, uint32_t k, int8_t* quants, float* scales,
                        int16_t* half_sums) {
    const uint32_t blocks = k / kBlockColumns;
    typename V::Floats x[V::kBlockVectors];
    for (uint32_t block = 0; block < blocks; ++block) {
        const size_t first = static_cast<size_t>(block) * kBlockColumns;
        for (uint32_t i = 0; i < V::kBlockVectors; ++i) {
            x[i] = V::load(values + first + i * V::kLanes);
        }
        V::quantize_block(x, quants + first, scales + block, half_sums + 2 * block);
        const uint32_t second = blocks + block;
        V::quantize_block(x, quants + k + first, scales + second, half_sums + 2 * second);
    }
}

// Adds args.delta where there is one, and gives the sum of squares: 64 partial sums whatever the
// width of a register, element i in partial sum i mod 64.
template <typename V>
float add_and_square(const NormArgs& args) {
    constexpr uint32_t kChains = 64 / V::kLanes;
    typename V::Floats acc[kChains];
    for (auto& chain : acc) {
        chain = V::all(0);
    }
    const auto take = [&](uint32_t i, uint32_t lanes, typename V::Floats& chain)
                          __attribute__((always_inline)) {
                              typename V::Floats x = V::load_first(args.x + i, lanes);
                              if (args.delta != nullptr) {
                                  x = V::add(x, V::load_first(args.delta + i, lanes));
                                  V::store_first(args.x + i, x, lanes);
                              }
                              chain = V::fma(x, x, chain);
                          };
    uint32_t i = 0;
    for (; i + kChains * V::kLanes <= args.n; i += kChains * V::kLanes) {
#pragma clang loop unroll(full)
        for (uint32_t chain = 0; chain < kChains; ++chain) {
            take(i + chain * V::kLanes, V::kLanes, acc[chain]);
        }
    }
    for (uint32_t chain = 0; i < args.n; i += V::kLanes, ++chain) {
        take(i, args.n - i, acc[chain]);
    }
    for (uint32_t width = kChains / 2; width > 0; width /= 2) {
        for (uint32_t chain = 0; chain < width; ++chain) {
            acc[chain] = V::add(acc[chain], acc[chain + width]);
        }
    }
    return V::sum_lanes(acc[0]);
}

template <typename V>
void norm_row(const NormArgs& args) {
    const float mean = add_and_square<V>(args) / static_cast<float>(args.n);
    const float root = _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(mean + args.epsilon)));
    const typename V::Floats factor = V::all(1.0F / root);
    for_vectors<V>(args.n, [&](uint32_t i, uint32_t lanes) __attribute__((always_inline)) {
        const auto scaled = V::mul(V::load_first(args.x + i, lanes), factor);
        V::store_first(args.out + i, V::mul(scaled, V::load_first(args.weight + i, lanes)), lanes);
    });
}

template <typename V>
void rotate_heads(const RopeArgs& args) {
    for_vectors<V>(args.rotated, [&](uint32_t i, uint32_t lanes) __attribute__((always_inline)) {
        const auto cos = V::load_pairs(args.cos + i / 2, lanes);
        const auto sin = V::load_pairs(args.sin + i / 2, lanes);
        for (uint32_t head = 0; head < args.count; ++head) {
            float* pairs = args.heads + static_cast<size_t>(head) * args.head_dim + i;
            V::store_first(pairs, V::rotate_pairs(V::load_first(pairs, lanes), cos, sin), lanes);
        }
    });
}

template <typename V>
void silu_mul_row(const float* gate, const float* up, uint32_t n, float* out) {
    for_vectors<V>(n, [&](uint32_t i, uint32_t lanes) __attribute__((always_inline)) {
        const auto g = V::load_first(gate + i, lanes);
        const auto below = V::add(V::all(1), V::exp(V::sub(V::all(0), g)));
        V::store_first(out + i, V::mul(V::div(g, below), V::load_first(up + i, lanes)), lanes);
    });
}

template <typename V>
void add_row(float* x, const float* y, uint32_t n) {
    for_vectors<V>(n, [&](uint32_t i, uint32_t lanes) __attribute__((always_inline)) {
        V::store_first(x + i, V::add(V::load_first(x + i, lanes), V::load_first(y + i, lanes)),
                       lanes);
    });
}

}  // namespace
}  // namespace rekindle::kernels
