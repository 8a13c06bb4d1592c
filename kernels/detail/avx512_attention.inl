// Attention over paged F16 keys and values for AVX-512: one page of 32 positions after the other
// from position 0, with a running softmax, so memory is bounded and the result depends on the
// context alone. Heads that share the KV head are taken up to three at a time: each key and value
// is then converted once for three uses.
#pragma once
#include "kernels/detail/avx512_vectors.inl"
#include "kernels/kernel_table.h"

namespace rekindle::kernels::avx512_vnni {
namespace {

constexpr uint32_t kHeadTile = 3;
constexpr uint32_t kPositionTile = 8;
constexpr uint32_t kChunkTile = 4;  // Chunks of 16 values: 3 x 4 accumulators in registers.

// Of the heads of one KV head.
struct AttentionState {
    float max[kGroupMax];
    float sum[kGroupMax];
    float shrink[kGroupMax];  // Factor for what was accumulated before this page.
    alignas(64) float weights[kGroupMax][kPageTokens];  // Scores first, then exp(score - max).
};

// Lane j: the sum of the 16 lanes of rows[j].
[[gnu::always_inline]] inline __m256 sum_rows(const __m512 (&rows)[kPositionTile]) {
    __m256 half[kPositionTile];
    for (uint32_t j = 0; j < kPositionTile; ++j) {
        half[j] =
            _mm256_add_ps(_mm512_castps512_ps256(rows[j]), _mm512_extractf32x8_ps(rows[j], 1));
    }
    const __m256 a =
        _mm256_hadd_ps(_mm256_hadd_ps(half[0], half[1]), _mm256_hadd_ps(half[2], half[3]));
    const __m256 b =
        _mm256_hadd_ps(_mm256_hadd_ps(half[4], half[5]), _mm256_hadd_ps(half[6], half[7]));
    return _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
}

// Scores of kHeads heads for all 8-position tiles that hold a visible position. What lies behind
// the last visible position is computed too (the page is whole) and masked later.
template <uint32_t kHeads>
void score_heads(const AttentionArgs& args, const std::byte* keys, uint32_t head,
                 uint32_t positions, AttentionState& state) {
    const float* query = args.query + static_cast<size_t>(head) * args.head_dim;
    const size_t row_bytes = static_cast<size_t>(args.head_dim) * 2;
    for (uint32_t first = 0; first < positions; first += kPositionTile) {
        __m512 acc[kHeads][kPositionTile];
        for (uint32_t h = 0; h < kHeads; ++h) {
            for (uint32_t j = 0; j < kPositionTile; ++j) {
                acc[h][j] = _mm512_setzero_ps();
            }
        }
        for (uint32_t d = 0; d < args.head_dim; d += kLanes) {
#pragma clang loop unroll(full)
            for (uint32_t j = 0; j < kPositionTile; ++j) {
                const __m512 key = load_halves(keys + (first + j) * row_bytes + d * 2);
#pragma clang loop unroll(full)
                for (uint32_t h = 0; h < kHeads; ++h) {
                    const __m512 q = _mm512_loadu_ps(query + h * args.head_dim + d);
                    acc[h][j] = _mm512_fmadd_ps(q, key, acc[h][j]);
                }
            }
        }
        for (uint32_t h = 0; h < kHeads; ++h) {
            const __m256 scores = _mm256_mul_ps(sum_rows(acc[h]), _mm256_set1_ps(args.scale));
            _mm256_store_ps(state.weights[head + h] + first, scores);
        }
    }
}

// Turns a head's scores into weights and brings its maximum and sum up to date.
[[gnu::always_inline]] inline void absorb_scores(AttentionState& state, uint32_t head,
                                                 uint32_t positions) {
    const __m512 hidden = _mm512_set1_ps(-__builtin_inff());
    const __mmask16 mask_low = first_lanes(positions);
    const __mmask16 mask_high =
        positions > kLanes ? first_lanes(positions - kLanes) : static_cast<__mmask16>(0);
    float* scores = state.weights[head];
    const __m512 low = _mm512_mask_load_ps(hidden, mask_low, scores);
    const __m512 high = _mm512_mask_load_ps(hidden, mask_high, scores + kLanes);
    const float page_max = _mm512_reduce_max_ps(_mm512_max_ps(low, high));
    const float before = state.max[head];
    const float max = page_max > before ? page_max : before;
    const __m512 max_lanes = _mm512_set1_ps(max);
    const __m512 weights_low = exp_lanes(_mm512_sub_ps(low, max_lanes));
    const __m512 weights_high = exp_lanes(_mm512_sub_ps(high, max_lanes));
    const float shrink = _mm512_cvtss_f32(exp_lanes(_mm512_set1_ps(before - max)));
    _mm512_store_ps(scores, weights_low);
    _mm512_store_ps(scores + kLanes, weights_high);
    state.max[head] = max;
    state.shrink[head] = shrink;
    state.sum[head] =
        state.sum[head] * shrink + _mm512_reduce_add_ps(_mm512_add_ps(weights_low, weights_high));
}

// out [kHeads][16 * kChunks] = out * shrink + weights * values, positions in ascending order.
template <uint32_t kHeads, uint32_t kChunks>
void add_values(const AttentionArgs& args, const std::byte* values, uint32_t head, uint32_t d,
                uint32_t positions, const AttentionState& state) {
    float* out = args.out + static_cast<size_t>(head) * args.head_dim + d;
    const size_t row_bytes = static_cast<size_t>(args.head_dim) * 2;
    __m512 acc[kHeads][kChunks];
    for (uint32_t h = 0; h < kHeads; ++h) {
        const __m512 shrink = _mm512_set1_ps(state.shrink[head + h]);
        for (uint32_t c = 0; c < kChunks; ++c) {
            acc[h][c] =
                _mm512_mul_ps(_mm512_loadu_ps(out + h * args.head_dim + c * kLanes), shrink);
        }
    }
    for (uint32_t j = 0; j < positions; ++j) {
        const std::byte* row = values + j * row_bytes + d * 2;
#pragma clang loop unroll(full)
        for (uint32_t c = 0; c < kChunks; ++c) {
            const __m512 value = load_halves(row + c * kLanes * 2);
#pragma clang loop unroll(full)
            for (uint32_t h = 0; h < kHeads; ++h) {
                const __m512 weight = _mm512_set1_ps(state.weights[head + h][j]);
                acc[h][c] = _mm512_fmadd_ps(weight, value, acc[h][c]);
            }
        }
    }
    for (uint32_t h = 0; h < kHeads; ++h) {
        for (uint32_t c = 0; c < kChunks; ++c) {
            _mm512_storeu_ps(out + h * args.head_dim + c * kLanes, acc[h][c]);
        }
    }
}

template <uint32_t kHeads>
void attend_heads(const AttentionArgs& args, const std::byte* page, uint32_t head,
                  uint32_t positions, AttentionState& state) {
    score_heads<kHeads>(args, page + args.key_offset, head, positions, state);
    for (uint32_t h = head; h < head + kHeads; ++h) {
        absorb_scores(state, h, positions);
    }
    const std::byte* values = page + args.value_offset;
    uint32_t d = 0;
    for (; d + kChunkTile * kLanes <= args.head_dim; d += kChunkTile * kLanes) {
        add_values<kHeads, kChunkTile>(args, values, head, d, positions, state);
    }
    for (; d < args.head_dim; d += kLanes) {
        add_values<kHeads, 1>(args, values, head, d, positions, state);
    }
}

[[gnu::always_inline]] inline void attend_page(const AttentionArgs& args, const std::byte* page,
                                               uint32_t positions, AttentionState& state) {
    uint32_t head = 0;
    for (; head + kHeadTile <= args.group; head += kHeadTile) {
        attend_heads<kHeadTile>(args, page, head, positions, state);
    }
    if (args.group - head == 2) {
        attend_heads<2>(args, page, head, positions, state);
    } else if (args.group - head == 1) {
        attend_heads<1>(args, page, head, positions, state);
    }
}

}  // namespace
}  // namespace rekindle::kernels::avx512_vnni
