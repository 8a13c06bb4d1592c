// The functions of each instruction set, for kernel_table.cpp to put into tables. Only plain
// functions cross this border: files with -m flags define no objects and use no library templates.
// Contracts: kernels/kernel_table.h. All but `scalar` may be called only after the feature test.
#pragma once
#include "kernels/kernel_table.h"

#include <cstddef>
#include <cstdint>

namespace rekindle::kernels {

namespace scalar {

void quantize(const float* values, uint32_t k, int8_t* quants, float* scales,
              int16_t* half_sums) noexcept;
void quantize16(const float* values, uint32_t k, int16_t* quants, float* scales,
                int32_t* half_sums) noexcept;
void matmul(const PackedMatrix& w, uint32_t panel_begin, uint32_t panel_end, const Activations& x,
            float* out, size_t out_stride) noexcept;
void dequantize_row(const PackedMatrix& w, uint32_t row, float* out) noexcept;
void rms_norm(const NormArgs& args) noexcept;
void rope_pairs(const RopeArgs& args) noexcept;
void silu_mul(const float* gate, const float* up, uint32_t n, float* out) noexcept;
void add(float* x, const float* y, uint32_t n) noexcept;
void store_kv(const KvStoreArgs& args) noexcept;
void attention(const AttentionArgs& args) noexcept;
void block_maxima(const float* x, uint32_t n, float* out) noexcept;
void block_exp_sums(const float* x, uint32_t n, float best, float scale, float* out) noexcept;
double exp_sum_above(const LogitRow& row, float threshold) noexcept;
uint32_t collect_above(const float* x, uint32_t n, float threshold, uint32_t* out) noexcept;

}  // namespace scalar

namespace avx2 {

void quantize(const float* values, uint32_t k, int8_t* quants, float* scales,
              int16_t* half_sums) noexcept;
void quantize16(const float* values, uint32_t k, int16_t* quants, float* scales,
                int32_t* half_sums) noexcept;
void matmul(const PackedMatrix& w, uint32_t panel_begin, uint32_t panel_end, const Activations& x,
            float* out, size_t out_stride) noexcept;
void rms_norm(const NormArgs& args) noexcept;
void rope_pairs(const RopeArgs& args) noexcept;
void silu_mul(const float* gate, const float* up, uint32_t n, float* out) noexcept;
void add(float* x, const float* y, uint32_t n) noexcept;
void store_kv(const KvStoreArgs& args) noexcept;
void attention(const AttentionArgs& args) noexcept;
void block_maxima(const float* x, uint32_t n, float* out) noexcept;
void block_exp_sums(const float* x, uint32_t n, float best, float scale, float* out) noexcept;
double exp_sum_above(const LogitRow& row, float threshold) noexcept;
uint32_t collect_above(const float* x, uint32_t n, float threshold, uint32_t* out) noexcept;

}  // namespace avx2

namespace avx512_vnni {

void quantize(const float* values, uint32_t k, int8_t* quants, float* scales,
              int16_t* half_sums) noexcept;
void quantize16(const float* values, uint32_t k, int16_t* quants, float* scales,
                int32_t* half_sums) noexcept;
void matmul(const PackedMatrix& w, uint32_t panel_begin, uint32_t panel_end, const Activations& x,
            float* out, size_t out_stride) noexcept;
void rms_norm(const NormArgs& args) noexcept;
void rope_pairs(const RopeArgs& args) noexcept;
void silu_mul(const float* gate, const float* up, uint32_t n, float* out) noexcept;
void add(float* x, const float* y, uint32_t n) noexcept;
void store_kv(const KvStoreArgs& args) noexcept;
void attention(const AttentionArgs& args) noexcept;

}  // namespace avx512_vnni

// Tables that differ from another one in their products.
namespace avx_vnni {

void matmul(const PackedMatrix& w, uint32_t panel_begin, uint32_t panel_end, const Activations& x,
            float* out, size_t out_stride) noexcept;

}  // namespace avx_vnni

namespace avx512_bf16 {

void matmul(const PackedMatrix& w, uint32_t panel_begin, uint32_t panel_end, const Activations& x,
            float* out, size_t out_stride) noexcept;

}  // namespace avx512_bf16

}  // namespace rekindle::kernels
