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

// body(first block, whole group) for groups of V::kBlockGroup blocks, then for single ones.
template <typename Body>
[[gnu::always_inline]] inline void for_block_groups(uint32_t blocks, uint32_t group,
                                                    const Body& body) {
    uint32_t block = 0;
    for (; block + group <= blocks; block += group) {
        body(block, true);
    }
    for (; block < blocks; ++block) {
        body(block, false);
    }
}

template <typename V>
void quantize_row(const float* values, uint32_t k, int8_t* quants, float* scales,
                  int16_t* half_sums) {
    const auto round = [&](uint32_t block, bool group) __attribute__((always_inline)) {
        const size_t first = static_cast<size_t>(block) * kBlockColumns;
        const auto quantize = group ? V::quantize_group : V::quantize_block;
        quantize(values + first, quants + first, scales + block, half_sums + 2 * block);
    };
    for_block_groups(k / kBlockColumns, V::kBlockGroup, round);
}

template <typename V>
void quantize_row16(const float* values, uint32_t k, int16_t* quants, float* scales,
                    int32_t* half_sums) {
    const uint32_t blocks = k / kBlockColumns;
    for (uint32_t block = 0; block < blocks; ++block) {
        const size_t first = static_cast<size_t>(block) * kBlockColumns;
        int32_t sums[2];
        V::quantize_block16(values + first, quants + first, scales + block, sums);
        half_sums[block] = sums[0];
        half_sums[blocks + block] = sums[1];
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

// Of `kVectors` vectors side by side: one alone would wait for its chain of operations.
template <typename V, uint32_t kVectors>
[[gnu::always_inline]] inline void silu_mul_vectors(const float* gate, const float* up, float* out,
                                                    uint32_t lanes) {
    typename V::Floats g[kVectors];
    typename V::Floats e[kVectors];
    for (uint32_t v = 0; v < kVectors; ++v) {
        g[v] = V::load_first(gate + v * V::kLanes, lanes);
        e[v] = V::sub(V::all(0), g[v]);
    }
    V::exp(e);
    for (uint32_t v = 0; v < kVectors; ++v) {
        const auto silu = V::div(g[v], V::add(V::all(1), e[v]));
        const auto u = V::load_first(up + v * V::kLanes, lanes);
        V::store_first(out + v * V::kLanes, V::mul(silu, u), lanes);
    }
}

template <typename V>
void silu_mul_row(const float* gate, const float* up, uint32_t n, float* out) {
    constexpr uint32_t kVectors = 3;
    uint32_t i = 0;
    for (; i + kVectors * V::kLanes <= n; i += kVectors * V::kLanes) {
        silu_mul_vectors<V, kVectors>(gate + i, up + i, out + i, V::kLanes);
    }
    for (; i < n; i += V::kLanes) {
        silu_mul_vectors<V, 1>(gate + i, up + i, out + i, n - i);
    }
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
