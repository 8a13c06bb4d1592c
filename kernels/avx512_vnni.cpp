// The kernel table for AVX-512 F, BW, DQ, VL and VNNI (Ice Lake, Zen 4 and later). Compiled with
// exactly those flags; everything but the functions of detail/tables.h has internal linkage, so
// that no other object file can end up calling AVX-512 code. scripts/check_isa_leak.sh proves it.
#include "kernels/detail/avx512_attention.inl"
#include "kernels/detail/avx512_matmul.inl"
#include "kernels/detail/avx512_vectors.inl"
#include "kernels/detail/tables.h"

namespace rekindle::kernels::avx512_vnni {

void quantize(const float* values, uint32_t k, int8_t* quants, float* scales,
              int16_t* half_sums) noexcept {
    for (uint32_t block = 0; block < k / kBlockColumns; ++block) {
        const size_t first = static_cast<size_t>(block) * kBlockColumns;
        quantize_block(values + first, quants + first, scales[block],
                       half_sums + static_cast<size_t>(block) * 2);
    }
}

void matmul(const PackedMatrix& w, uint32_t panel_begin, uint32_t panel_end, const Activations& x,
            float* out, size_t out_stride) noexcept {
    const auto run = [&]<typename Type>() __attribute__((always_inline)) {
        compute_panels<Type>(w, packed_bytes(w.type, 1, w.columns), panel_begin, panel_end, x, out,
                             out_stride);
    };
    switch (w.type) {
        case WeightType::kF32:
            return run.operator()<F32>();
        case WeightType::kF16:
            return run.operator()<F16>();
        case WeightType::kBF16:
            return run.operator()<BF16>();
        case WeightType::kQ4_0:
            return run.operator()<Q4_0>();
        case WeightType::kQ4_1:
            return run.operator()<Q4_1>();
        case WeightType::kQ5_0:
            return run.operator()<Q5_0>();
        case WeightType::kQ5_1:
            return run.operator()<Q5_1>();
        case WeightType::kQ8_0:
            return run.operator()<Q8_0>();
        case WeightType::kQ2_K:
            return run.operator()<Q2_K>();
        case WeightType::kQ3_K:
            return run.operator()<Q3_K>();
        case WeightType::kQ4_K:
            return run.operator()<Q4_K>();
        case WeightType::kQ5_K:
            return run.operator()<Q5_K>();
        case WeightType::kQ6_K:
            return run.operator()<Q6_K>();
        case WeightType::kIQ4_NL:
            return run.operator()<IQ4_NL>();
        case WeightType::kIQ4_XS:
            return run.operator()<IQ4_XS>();
    }
}

void rms_norm(const float* x, const float* weight, uint32_t n, float epsilon, float* out) noexcept {
    const float mean = sum_of_squares(x, n) / static_cast<float>(n);
    const float root = _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(mean + epsilon)));
    const __m512 factor = _mm512_set1_ps(1.0F / root);
    for (uint32_t i = 0; i < n; i += kLanes) {
        const __mmask16 mask = first_lanes(n - i);
        const __m512 scaled = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i), factor);
        _mm512_mask_storeu_ps(out + i, mask,
                              _mm512_mul_ps(scaled, _mm512_maskz_loadu_ps(mask, weight + i)));
    }
}

void rope_pairs(float* head, const float* cos, const float* sin, uint32_t head_dim) noexcept {
    for (uint32_t i = 0; i < head_dim; i += kLanes) {
        rotate_pairs(head + i, cos + i / 2, sin + i / 2, first_lanes(head_dim - i));
    }
}

void silu_mul(const float* gate, const float* up, uint32_t n, float* out) noexcept {
    const __m512 one = _mm512_set1_ps(1.0F);
    for (uint32_t i = 0; i < n; i += kLanes) {
        const __mmask16 mask = first_lanes(n - i);
        const __m512 g = _mm512_maskz_loadu_ps(mask, gate + i);
        const __m512 u = _mm512_maskz_loadu_ps(mask, up + i);
        const __m512 e = exp_lanes(_mm512_sub_ps(_mm512_setzero_ps(), g));
        const __m512 silu = _mm512_div_ps(g, _mm512_add_ps(one, e));
        _mm512_mask_storeu_ps(out + i, mask, _mm512_mul_ps(silu, u));
    }
}

void add(float* x, const float* y, uint32_t n) noexcept {
    for (uint32_t i = 0; i < n; i += kLanes) {
        const __mmask16 mask = first_lanes(n - i);
        const __m512 a = _mm512_maskz_loadu_ps(mask, x + i);
        const __m512 b = _mm512_maskz_loadu_ps(mask, y + i);
        _mm512_mask_storeu_ps(x + i, mask, _mm512_add_ps(a, b));
    }
}

void store_f16(const float* x, uint32_t n, uint16_t* out) noexcept {
    for (uint32_t i = 0; i < n; i += kLanes) {
        const __mmask16 mask = first_lanes(n - i);
        const __m512 values = _mm512_maskz_loadu_ps(mask, x + i);
        _mm256_mask_storeu_epi16(out + i, mask, _mm512_cvtps_ph(values, _MM_FROUND_TO_NEAREST_INT));
    }
}

void attention(const AttentionArgs& args) noexcept {
    AttentionState state;
    for (uint32_t head = 0; head < args.group; ++head) {
        state.max[head] = -__builtin_inff();
        state.sum[head] = 0;
    }
    __builtin_memset(args.out, 0, static_cast<size_t>(args.group) * args.head_dim * sizeof(float));
    for (uint32_t first = 0; first < args.context; first += kPageTokens) {
        const uint32_t left = args.context - first;
        attend_page(args, args.pages[first / kPageTokens], left < kPageTokens ? left : kPageTokens,
                    state);
    }
    for (uint32_t head = 0; head < args.group; ++head) {
        float* out = args.out + static_cast<size_t>(head) * args.head_dim;
        const __m512 sum = _mm512_set1_ps(state.sum[head]);
        for (uint32_t d = 0; d < args.head_dim; d += kLanes) {
            _mm512_storeu_ps(out + d, _mm512_div_ps(_mm512_loadu_ps(out + d), sum));
        }
    }
}

}  // namespace rekindle::kernels::avx512_vnni
