// The kernel table for AVX2, FMA and F16C (Haswell, Zen and later). Compiled with exactly those
// flags; everything but the functions of detail/tables.h has internal linkage, so that no other
// object file can end up calling AVX2 code. scripts/check_isa_leak.sh proves it.
#include "kernels/detail/avx2_attention.inl"
#include "kernels/detail/avx2_matmul.inl"
#include "kernels/detail/tables.h"

namespace rekindle::kernels::avx2 {

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

void attention(const AttentionArgs& args) noexcept {
    AttentionState state;
    for (uint32_t head = 0; head < args.group; ++head) {
        state.max[head] = -__builtin_inff();
        state.sum[head] = 0;
    }
    __builtin_memset(args.out, 0, static_cast<size_t>(args.group) * args.head_dim * sizeof(float));
    for (uint32_t first = 0; first < args.context; first += kPageTokens) {
        const uint32_t left = args.context - first;
        const uint32_t positions = left < kPageTokens ? left : kPageTokens;
        const std::byte* page = args.pages[first / kPageTokens];
        for (uint32_t head = 0; head < args.group; ++head) {
            attend_head(args, page, head, positions, state);
        }
    }
    for (uint32_t head = 0; head < args.group; ++head) {
        float* out = args.out + static_cast<size_t>(head) * args.head_dim;
        const __m256 sum = _mm256_set1_ps(state.sum[head]);
        for (uint32_t d = 0; d < args.head_dim; d += kLanes) {
            _mm256_storeu_ps(out + d, _mm256_div_ps(_mm256_loadu_ps(out + d), sum));
        }
    }
}

}  // namespace rekindle::kernels::avx2
