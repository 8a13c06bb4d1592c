// One table of function pointers per instruction set, chosen once from CPUID and XCR0. Kernels
// never allocate, throw, log or know a model. Within one table a row's result depends on that row's
// inputs only: not on how many columns are computed together, nor on how panels are split over
// threads.
#pragma once
#include "kernels/kv_type.h"
#include "kernels/weight_types.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace rekindle::kernels {

inline constexpr uint32_t kHeadDimMax = 256;
inline constexpr uint32_t kGroupMax = 16;  // Query heads that share one KV head.

inline constexpr uint32_t kSelectBlock = 256;  // Logits in a block of the selection kernels.
// exp(-30) is 1e-13: below this distance from the best, whole vocabularies add nothing to a sum.
inline constexpr float kNegligibleWeight = 30.0F;
// With less, the distance that is negligible would be near float's end.
inline constexpr float kWeightScaleMin = 0x1p-64F;

// A block whose largest magnitude is below this becomes zeros: 127 / it would leave float's range.
inline constexpr float kQuantizeFloor = 0x1p-100F;

// The largest quant of 16-bit inputs: no sum of a slice leaves int32, for Q6_K's extreme weights up
// to 32 columns * 32 * 128 * this = 2^31 - 2^17.
inline constexpr int32_t kQuant16Max = 16383;

// A weight matrix in r16 form. data is 64-byte aligned.
struct PackedMatrix {
    WeightType type = WeightType::kF32;
    uint32_t rows = 0;     // Outputs; padded to a multiple of 16 in `data`.
    uint32_t columns = 0;  // Inputs (k).
    const std::byte* data = nullptr;
};

// `tokens` input vectors of k values. Quantised types read one of two quantised forms: that of 16
// bits where it is set, else that of 8. Float types read `values`.
struct Activations {
    const float* values = nullptr;  // [tokens][k]
    // As `quantize` leaves them.
    const int8_t* quants = nullptr;      // [tokens][k]
    const int16_t* half_sums = nullptr;  // [tokens][k / 16]
    // As `quantize16` leaves them.
    const int16_t* quants16 = nullptr;     // [tokens][k]
    const int32_t* half_sums16 = nullptr;  // [tokens][2][k / 32]
    const float* scales = nullptr;         // [tokens][k / 32], of either form
    uint32_t tokens = 0;
    uint32_t k = 0;  // Multiple of 32 for quantised weights.
};

// Attention of rows that follow one another in one sequence, over one KV head of its paged cache.
// Row i stands at `position + i` and sees itself and what lies before it, or the last `window` of
// these. In every page the head's keys and values lie at the given byte offsets as store_kv leaves
// them. A row's bits depend on neither the other rows nor the other heads of the group.
struct AttentionArgs {
    KvType type = KvType::kF16;               // Of the pages.
    const float* query = nullptr;             // [rows] of [group][head_dim], rotated, not scaled
    size_t query_stride = 0;                  // Floats from a row to the next.
    const std::byte* const* pages = nullptr;  // [ceil((position + rows) / kPageTokens)]
    uint64_t key_offset = 0;                  // Bytes from a page's base.
    uint64_t value_offset = 0;
    uint32_t rows = 0;      // Any number; a page is read once for each tile of them.
    uint32_t position = 0;  // Of the first row.
    uint32_t window = 0;    // 0: no limit.
    uint32_t group = 0;     // Query heads of the KV head, 1 to kGroupMax.
    uint32_t head_dim = 0;  // Multiple of 16, at most kHeadDimMax.
    float scale = 0;        // 1 / sqrt(head_dim)
    float* out = nullptr;   // [rows] of [group][head_dim]
    size_t out_stride = 0;
};

// A row of logits for `exp_sum_above`, with what `block_maxima` and `block_exp_sums` say of it.
struct LogitRow {
    const float* x = nullptr;       // [n]
    const float* maxima = nullptr;  // [blocks]
    uint32_t n = 0;
    float best = 0;   // The row's maximum, finite.
    float scale = 0;  // At least kWeightScaleMin.
};

// Keys and values of one KV head for positions that follow one another within one page, rounded to
// the page's type: F16 and BF16 to nearest even. Q8_0 as `quantize` below, with a scale for each
// row's keys and one for its values: 0 where no magnitude reaches kQuantizeFloor, NaN where a row
// holds an infinity or a NaN, both with zero quants. Bit-identical in all tables.
struct KvStoreArgs {
    KvType type = KvType::kF16;
    const float* keys = nullptr;    // [rows] of [head_dim], rotated
    const float* values = nullptr;  // [rows] of [head_dim]
    size_t stride = 0;              // Floats from a row to the next.
    uint32_t rows = 0;
    uint32_t slot = 0;                 // Of the first row: its position % kPageTokens.
    uint32_t head_dim = 0;             // Multiple of 16, at most kHeadDimMax.
    std::byte* page_keys = nullptr;    // [kv_head_bytes()] of this head
    std::byte* page_values = nullptr;  // [kv_head_bytes()]
};

// x += delta where there is one, then out = x / sqrt(mean(x^2) + epsilon) * weight.
struct NormArgs {
    float* x = nullptr;             // [n]; changed only by a delta
    const float* delta = nullptr;   // [n] or null: what the last block adds to the residual stream
    const float* weight = nullptr;  // [n]
    uint32_t n = 0;
    float epsilon = 0;
    float* out = nullptr;  // [n]
};

// Rotation of adjacent pairs (2i, 2i+1), as GGUF's llama files are permuted for, of the first
// `rotated` values of each head.
struct RopeArgs {
    float* heads = nullptr;  // [count][head_dim], in place
    uint32_t count = 0;
    uint32_t head_dim = 0;
    uint32_t rotated = 0;        // Even, at most head_dim.
    const float* cos = nullptr;  // [rotated / 2] of the position
    const float* sin = nullptr;
};

// All tables, the least one first.
inline constexpr std::string_view kKernelTableNames[] = {"scalar", "avx2", "avx_vnni",
                                                         "avx512_vnni", "avx512_bf16"};

struct KernelTable {
    std::string_view name;  // One of kKernelTableNames.

    // One vector of k values (multiple of 32) to quants [k] in [-127, 127], round(value / scale),
    // with scales [k / 32], the largest magnitude of a block / 127, and half_sums [k / 16], the
    // sums of 16 quants. A block that holds an infinity or a NaN gets the scale NaN and zero
    // quants, so that it shows in every product. Bit-identical in all tables.
    void (*quantize)(const float* values, uint32_t k, int8_t* quants, float* scales,
                     int16_t* half_sums) noexcept;
    // The same with kQuant16Max for 127. Of each four columns the quants lie in the order 0, 2, 1,
    // 3, in which int16 weights come out of bytes; half_sums [2][k / 32] holds the sums of the
    // blocks' first 16 columns, then those of the other 16.
    void (*quantize16)(const float* values, uint32_t k, int16_t* quants, float* scales,
                       int32_t* half_sums) noexcept;
    // out[token * out_stride + row] for the rows of panels [panel_begin, panel_end), clipped to
    // w.rows. Quantised types: bit-identical in all tables.
    void (*matmul)(const PackedMatrix& w, uint32_t panel_begin, uint32_t panel_end,
                   const Activations& x, float* out, size_t out_stride) noexcept;
    // One row of w as floats: out [columns]. For embedding lookups.
    void (*dequantize_row)(const PackedMatrix& w, uint32_t row, float* out) noexcept;
    void (*rms_norm)(const NormArgs& args) noexcept;
    void (*rope_pairs)(const RopeArgs& args) noexcept;
    // out[i] = gate[i] / (1 + exp(-gate[i])) * up[i]
    void (*silu_mul)(const float* gate, const float* up, uint32_t n, float* out) noexcept;
    // x[i] += y[i]
    void (*add)(float* x, const float* y, uint32_t n) noexcept;
    void (*store_kv)(const KvStoreArgs& args) noexcept;
    void (*attention)(const AttentionArgs& args) noexcept;

    // Of a row x [n] of logits, in blocks of kSelectBlock (the last may be shorter). out [blocks];
    // NaN is passed over; minus infinity for a block without a number.
    void (*block_maxima)(const float* x, uint32_t n, float* out) noexcept;
    // out [blocks]: sums of exp((x - best) * scale). Exponents below -kNegligibleWeight and NaN may
    // count as 0 or as something no larger than they are and 2^-123. best: the row's maximum,
    // finite. scale >= kWeightScaleMin.
    void (*block_exp_sums)(const float* x, uint32_t n, float best, float scale,
                           float* out) noexcept;
    // The same sum over a whole row, of the x[i] > threshold alone.
    double (*exp_sum_above)(const LogitRow& row, float threshold) noexcept;
    // The i with x[i] >= threshold, ascending, into out (room for n); gives their number.
    uint32_t (*collect_above)(const float* x, uint32_t n, float threshold, uint32_t* out) noexcept;
};

// The best table that this CPU and operating system support. The environment variable
// REKINDLE_ISA=scalar|avx2|avx_vnni|avx512_vnni|avx512_bf16 forces one; nullptr if that one cannot
// run here or the name is unknown; unset or empty forces none.
const KernelTable* select_kernel_table() noexcept;
// By name; nullptr if unknown or unsupported by this CPU.
const KernelTable* find_kernel_table(std::string_view name) noexcept;

}  // namespace rekindle::kernels
