// Attention over paged F16 keys and values for AVX2: one page of 32 positions after the other from
// position 0, with a running softmax, so memory is bounded and the result depends on the context
// alone.
#pragma once
#include "kernels/detail/avx2_matmul.inl"

namespace rekindle::kernels::avx2 {
namespace {

// Of the heads of one KV head.
struct AttentionState {
    float max[kGroupMax];
    float sum[kGroupMax];
    alignas(32) float weights[kPageTokens];  // Scores of one head first, then exp(score - max).
};

// exp(x) within 2 units in the last place for x <= 0; 0 below -87. Cody and Waite's reduction, then
// Cephes' polynomial for |r| < 0.35.
[[gnu::always_inline]] inline __m256 exp_lanes(__m256 x) {
    const __m256 tiny = _mm256_cmp_ps(x, _mm256_set1_ps(-87.0F), _CMP_LT_OQ);
    const __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(0x1.715476p0F)),
                                     _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375F), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.12194440e-4F), r);
    __m256 p = _mm256_set1_ps(1.9875691500e-4F);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.3981999507e-3F));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(8.3334519073e-3F));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(4.1665795894e-2F));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.6666665459e-1F));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(5.0000001201e-1F));
    p = _mm256_fmadd_ps(p, _mm256_mul_ps(r, r), r);
    const __m256i exponent =
        _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
    const __m256 result =
        _mm256_mul_ps(_mm256_add_ps(p, _mm256_set1_ps(1.0F)), _mm256_castsi256_ps(exponent));
    return _mm256_andnot_ps(tiny, result);
}

[[gnu::always_inline]] inline float sum_lanes(__m256 x) {
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}

void score_head(const AttentionArgs& args, const std::byte* keys, uint32_t head, uint32_t positions,
                AttentionState& state) {
    const float* query = args.query + static_cast<size_t>(head) * args.head_dim;
    for (uint32_t j = 0; j < positions; ++j) {
        const std::byte* key = keys + static_cast<size_t>(j) * args.head_dim * 2;
        __m256 even = _mm256_setzero_ps();
        __m256 odd = _mm256_setzero_ps();
        for (uint32_t d = 0; d < args.head_dim; d += 2 * kLanes) {
            even = _mm256_fmadd_ps(_mm256_loadu_ps(query + d), load_halves(key + d * 2), even);
            odd = _mm256_fmadd_ps(_mm256_loadu_ps(query + d + kLanes),
                                  load_halves(key + (d + kLanes) * 2), odd);
        }
        state.weights[j] = sum_lanes(_mm256_add_ps(even, odd)) * args.scale;
    }
    for (uint32_t j = positions; j < kPageTokens; ++j) {
        state.weights[j] = -__builtin_inff();  // Not visible: weight 0.
    }
}

// Turns the scores into weights and brings maximum and sum up to date; gives the factor for what
// was accumulated before this page.
float absorb_scores(AttentionState& state, uint32_t head) {
    float max = state.max[head];
    for (uint32_t j = 0; j < kPageTokens; ++j) {
        max = state.weights[j] > max ? state.weights[j] : max;
    }
    const __m256 max_lanes = _mm256_set1_ps(max);
    __m256 sum = _mm256_setzero_ps();
    for (uint32_t j = 0; j < kPageTokens; j += kLanes) {
        const __m256 weights =
            exp_lanes(_mm256_sub_ps(_mm256_load_ps(state.weights + j), max_lanes));
        _mm256_store_ps(state.weights + j, weights);
        sum = _mm256_add_ps(sum, weights);
    }
    const float shrink = _mm256_cvtss_f32(exp_lanes(_mm256_set1_ps(state.max[head] - max)));
    state.max[head] = max;
    state.sum[head] = state.sum[head] * shrink + sum_lanes(sum);
    return shrink;
}

// out = out * shrink + weights * values, positions in ascending order.
void add_values(const AttentionArgs& args, const std::byte* values, uint32_t positions,
                const AttentionState& state, float shrink, float* out) {
    for (uint32_t d = 0; d < args.head_dim; d += 2 * kLanes) {
        const __m256 factor = _mm256_set1_ps(shrink);
        __m256 low = _mm256_mul_ps(_mm256_loadu_ps(out + d), factor);
        __m256 high = _mm256_mul_ps(_mm256_loadu_ps(out + d + kLanes), factor);
        for (uint32_t j = 0; j < positions; ++j) {
            const std::byte* row = values + (static_cast<size_t>(j) * args.head_dim + d) * 2;
            const __m256 weight = _mm256_set1_ps(state.weights[j]);
            low = _mm256_fmadd_ps(weight, load_halves(row), low);
            high = _mm256_fmadd_ps(weight, load_halves(row + kLanes * 2), high);
        }
        _mm256_storeu_ps(out + d, low);
        _mm256_storeu_ps(out + d + kLanes, high);
    }
}

void attend_head(const AttentionArgs& args, const std::byte* page, uint32_t head,
                 uint32_t positions, AttentionState& state) {
    score_head(args, page + args.key_offset, head, positions, state);
    const float shrink = absorb_scores(state, head);
    add_values(args, page + args.value_offset, positions, state, shrink,
               args.out + static_cast<size_t>(head) * args.head_dim);
}

}  // namespace
}  // namespace rekindle::kernels::avx2
