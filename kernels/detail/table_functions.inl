// The functions of one kernel table, over the `Vector` and the products of its instruction set. A
// file that is compiled for one includes this inside its own namespace.
void quantize(const float* values, uint32_t k, int8_t* quants, float* scales,
              int16_t* half_sums) noexcept {
    quantize_row<Vector>(values, k, quants, scales, half_sums);
}

void quantize16(const float* values, uint32_t k, int16_t* quants, float* scales,
                int32_t* half_sums) noexcept {
    quantize_row16<Vector>(values, k, quants, scales, half_sums);
}

#include "kernels/detail/matmul_dispatch.inl"

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
