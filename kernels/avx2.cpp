// The kernel table for AVX2, FMA and F16C (Haswell, Zen and later). Compiled with exactly those
// flags; everything but the functions of detail/tables.h has internal linkage, so that no other
// object file can end up calling AVX2 code. scripts/check_isa_leak.sh proves it.
#include "kernels/detail/attention.inl"
#include "kernels/detail/avx2_matmul.inl"
#include "kernels/detail/avx2_vector.inl"
#include "kernels/detail/elementwise.inl"
#include "kernels/detail/tables.h"

namespace rekindle::kernels::avx2 {

void quantize(const float* values, uint32_t k, int8_t* quants, float* scales,
              int16_t* half_sums) noexcept {
    quantize_row<Vector>(values, k, quants, scales, half_sums);
}

void quantize_two_terms(const float* values, uint32_t k, int8_t* quants, float* scales,
                        int16_t* half_sums) noexcept {
    quantize_row_twice<Vector>(values, k, quants, scales, half_sums);
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

void rms_norm(const NormArgs& args) noexcept {
    norm_row<Vector>(args);
}

void rope_pairs(const RopeArgs& args) noexcept {
    rotate_heads<Vector>(args);
}

void silu_mul(const float* gate, const float* up, uint32_t n, float* out) noexcept {
    silu_mul_row<Vector>(gate, up, n, out);
}

void add(float* x, const float* y, uint32_t n) noexcept {
    add_row<Vector>(x, y, n);
}

void store_kv(const KvStoreArgs& args) noexcept {
    store_rows<Vector>(args);
}

void attention(const AttentionArgs& args) noexcept {
    attend_rows<Vector>(args);
}

}  // namespace rekindle::kernels::avx2
