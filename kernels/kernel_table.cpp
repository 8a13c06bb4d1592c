#include "kernels/kernel_table.h"

#include "kernels/cpu_features.h"
#include "kernels/detail/tables.h"

#include <cstdlib>

namespace rekindle::kernels {
namespace {

constexpr KernelTable kScalar{
    .name = "scalar",
    .quantize = scalar::quantize,
    .quantize16 = scalar::quantize16,
    .matmul = scalar::matmul,
    .dequantize_row = scalar::dequantize_row,
    .rms_norm = scalar::rms_norm,
    .rope_pairs = scalar::rope_pairs,
    .silu_mul = scalar::silu_mul,
    .add = scalar::add,
    .store_kv = scalar::store_kv,
    .attention = scalar::attention,
    .block_maxima = scalar::block_maxima,
    .block_exp_sums = scalar::block_exp_sums,
    .exp_sum_above = scalar::exp_sum_above,
    .collect_above = scalar::collect_above,
};

constexpr KernelTable kAvx2{
    .name = "avx2",
    .quantize = avx2::quantize,
    .quantize16 = avx2::quantize16,
    .matmul = avx2::matmul,
    .dequantize_row = scalar::dequantize_row,
    .rms_norm = avx2::rms_norm,
    .rope_pairs = avx2::rope_pairs,
    .silu_mul = avx2::silu_mul,
    .add = avx2::add,
    .store_kv = avx2::store_kv,
    .attention = avx2::attention,
    .block_maxima = avx2::block_maxima,
    .block_exp_sums = avx2::block_exp_sums,
    .exp_sum_above = avx2::exp_sum_above,
    .collect_above = avx2::collect_above,
};

constexpr KernelTable kAvx512Vnni{
    .name = "avx512_vnni",
    .quantize = avx512_vnni::quantize,
    .quantize16 = avx512_vnni::quantize16,
    .matmul = avx512_vnni::matmul,
    .dequantize_row = scalar::dequantize_row,  // One row per token: not worth vectors.
    .rms_norm = avx512_vnni::rms_norm,
    .rope_pairs = avx512_vnni::rope_pairs,
    .silu_mul = avx512_vnni::silu_mul,
    .add = avx512_vnni::add,
    .store_kv = avx512_vnni::store_kv,
    .attention = avx512_vnni::attention,
    // Bound by memory, not by lanes.
    .block_maxima = avx2::block_maxima,
    .block_exp_sums = avx2::block_exp_sums,
    .exp_sum_above = avx2::exp_sum_above,
    .collect_above = avx2::collect_above,
};

constexpr KernelTable with_products(KernelTable table, std::string_view name,
                                    decltype(KernelTable::matmul) matmul) {
    table.name = name;
    table.matmul = matmul;
    return table;
}

constexpr KernelTable kAvxVnni = with_products(kAvx2, "avx_vnni", avx_vnni::matmul);
constexpr KernelTable kAvx512Bf16 = with_products(kAvx512Vnni, "avx512_bf16", avx512_bf16::matmul);

struct Candidate {
    const KernelTable* table;
    bool CpuFeatures::* feature;
};

// The best first; what none of them can run is for the scalar table.
constexpr Candidate kCandidates[] = {{&kAvx512Bf16, &CpuFeatures::avx512_bf16},
                                     {&kAvx512Vnni, &CpuFeatures::avx512_vnni},
                                     {&kAvxVnni, &CpuFeatures::avx_vnni},
                                     {&kAvx2, &CpuFeatures::avx2}};

}  // namespace

const KernelTable* find_kernel_table(std::string_view name) noexcept {
    for (const Candidate& candidate : kCandidates) {
        if (name == candidate.table->name) {
            return cpu_features().*candidate.feature ? candidate.table : nullptr;
        }
    }
    return name == kScalar.name ? &kScalar : nullptr;
}

const KernelTable* select_kernel_table() noexcept {
    const char* forced = std::getenv("REKINDLE_ISA");  // Nothing in the product calls setenv.
    if (forced != nullptr && *forced != '\0') {
        return find_kernel_table(forced);
    }
    for (const Candidate& candidate : kCandidates) {
        if (cpu_features().*candidate.feature) {
            return candidate.table;
        }
    }
    return &kScalar;
}

}  // namespace rekindle::kernels
