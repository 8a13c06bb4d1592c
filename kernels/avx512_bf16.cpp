// Products of BF16 weights for AVX-512 BF16 (Cooper Lake, Zen 4 and later), which multiplies pairs
// of BF16 and adds them up in float: twice the products of fused multiply-adds, and weights as they
// lie in memory. Inputs are rounded to BF16 for it. Compiled with exactly those flags; the same
// rules as avx512_vnni.cpp, whose functions are the rest of the table.
//
// Numerics: each lane adds the products of two neighbouring k with a rounding to nearest each;
// denormals count as zero. Every output has one accumulator that goes through k in ascending order.
#include "kernels/detail/avx512_common.inl"
#include "kernels/detail/r16.h"
#include "kernels/detail/tables.h"

namespace rekindle::kernels::avx512_bf16 {
namespace {

using avx512_vnni::broadcast_quants;
using avx512_vnni::first_lanes;
using avx512_vnni::load_bytes;

constexpr uint32_t kTokenTile = 12;
constexpr uint32_t kTokenChunk = 48;    // Tokens that pass over a panel before the next one starts.
constexpr uint32_t kInputsMax = 24576;  // Rounded inputs that are held at a time: 48 KiB of stack.
constexpr uint32_t kPartStep = 32;      // Parts of k are multiples of this.

// Columns [first, first + columns) of tokens [token, token + tokens).
struct Part {
    uint32_t token;
    uint32_t tokens;
    uint32_t first;
    uint32_t columns;
};

struct Inputs {
    alignas(64) uint16_t values[kInputsMax];  // [tokens][columns]
};

void round_inputs(const Activations& x, const Part& part, Inputs& inputs) {
    for (uint32_t t = 0; t < part.tokens; ++t) {
        const float* from = x.values + static_cast<size_t>(part.token + t) * x.k + part.first;
        uint16_t* to = inputs.values + static_cast<size_t>(t) * part.columns;
        for (uint32_t column = 0; column < part.columns; column += avx512_vnni::kLanes) {
            const __mmask16 lanes = first_lanes(part.columns - column);
            const __m512 values = _mm512_maskz_loadu_ps(lanes, from + column);
            const __m256bh rounded = _mm512_cvtneps_pbh(values);
            __m256i bits;
            __builtin_memcpy(&bits, &rounded, sizeof bits);
            _mm256_mask_storeu_epi16(to + column, lanes, bits);
        }
    }
}

[[gnu::always_inline]] inline __m512 add_pairs(__m512 sum, __m512i weights, __m512i inputs) {
    __m512bh a;
    __m512bh b;
    __builtin_memcpy(&a, &weights, sizeof a);
    __builtin_memcpy(&b, &inputs, sizeof b);
    return _mm512_dpbf16_ps(sum, a, b);
}

// out [token][row] of kTokens tokens; `rows` masks the padding of the last panel. `weights` and
// `inputs` [token] point at the part's first column.
template <uint32_t kTokens>
void tile(const std::byte* weights, const uint16_t* inputs, uint32_t columns, bool is_first,
          float* out, size_t out_stride, __mmask16 rows) {
    __m512 acc[kTokens];
    for (uint32_t t = 0; t < kTokens; ++t) {
        acc[t] = is_first ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(rows, out + t * out_stride);
    }
    for (uint32_t k = 0; k < columns; k += 2) {
        const __m512i pairs = load_bytes(weights + static_cast<size_t>(k) * kPanelRows * 2);
#pragma clang loop unroll(full)
        for (uint32_t t = 0; t < kTokens; ++t) {
            const uint16_t* two = inputs + static_cast<size_t>(t) * columns + k;
            acc[t] = add_pairs(acc[t], pairs, broadcast_quants(two));
        }
    }
    for (uint32_t t = 0; t < kTokens; ++t) {
        _mm512_mask_storeu_ps(out + t * out_stride, rows, acc[t]);
    }
}

void multiply_panel(const std::byte* weights, const Inputs& inputs, const Part& part, float* out,
                    size_t out_stride, __mmask16 rows) {
    using Tile =
        void (*)(const std::byte*, const uint16_t*, uint32_t, bool, float*, size_t, __mmask16);
    static constexpr Tile kTiles[kTokenTile + 1] = {nullptr,  tile<1>,  tile<2>, tile<3>, tile<4>,
                                                    tile<5>,  tile<6>,  tile<7>, tile<8>, tile<9>,
                                                    tile<10>, tile<11>, tile<12>};
    const uint32_t tiles = (part.tokens + kTokenTile - 1) / kTokenTile;
    const uint32_t each = (part.tokens + tiles - 1) / tiles;
    for (uint32_t token = 0; token < part.tokens; token += each) {
        const uint32_t tokens = part.tokens - token < each ? part.tokens - token : each;
        kTiles[tokens](weights, inputs.values + static_cast<size_t>(token) * part.columns,
                       part.columns, part.first == 0, out + token * out_stride, out_stride, rows);
    }
}

void multiply(const PackedMatrix& w, uint32_t panel_begin, uint32_t panel_end, const Activations& x,
              float* out, size_t out_stride) {
    const uint64_t panel_bytes = packed_bytes(w.type, 1, w.columns);
    Inputs inputs;
    for (uint32_t token = 0; token < x.tokens; token += kTokenChunk) {
        const uint32_t tokens = x.tokens - token < kTokenChunk ? x.tokens - token : kTokenChunk;
        const uint32_t most = kInputsMax / tokens / kPartStep * kPartStep;
        for (uint32_t first = 0; first < x.k; first += most) {
            const Part part{token, tokens, first, x.k - first < most ? x.k - first : most};
            round_inputs(x, part, inputs);
            for (uint32_t panel = panel_begin; panel < panel_end; ++panel) {
                const uint32_t row = panel * kPanelRows;
                const std::byte* weights =
                    w.data + panel * panel_bytes + static_cast<size_t>(first) * kPanelRows * 2;
                multiply_panel(weights, inputs, part, out + token * out_stride + row, out_stride,
                               first_lanes(w.rows - row));
            }
        }
    }
}

}  // namespace

void matmul(const PackedMatrix& w, uint32_t panel_begin, uint32_t panel_end, const Activations& x,
            float* out, size_t out_stride) noexcept {
    if (w.type == WeightType::kBF16) {
        multiply(w, panel_begin, panel_end, x, out, out_stride);
    } else {
        avx512_vnni::matmul(w, panel_begin, panel_end, x, out, out_stride);
    }
}

}  // namespace rekindle::kernels::avx512_bf16
