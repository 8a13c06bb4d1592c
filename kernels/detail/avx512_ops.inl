// The operations of detail/vnni_tile.inl and vnni_matmul.inl on 512-bit registers: one holds the 16
// rows of a panel. For files that are compiled for AVX-512 VNNI; internal linkage, see README.md.
#pragma once
#include "kernels/detail/avx512_common.inl"

namespace rekindle::kernels::avx512_vnni {
namespace {

struct Operations {
    using Ints = __m512i;
    using Floats = __m512;
    static constexpr uint32_t kRowSets = 1;
    static constexpr uint32_t kTokenTile = 12;
    static constexpr uint32_t kTokenTileMin = 1;
    static constexpr uint32_t kRegisters = 32;
    static constexpr uint32_t kSpareRegisters = 5;  // Weights, scales, offsets, masks.

    static Ints zero() { return _mm512_setzero_si512(); }

    static Floats zero_floats() { return _mm512_setzero_ps(); }

    static Ints broadcast_int(const void* place) { return broadcast_quants(place); }

    static Floats broadcast(const float* place) { return _mm512_set1_ps(*place); }

    static Ints dot_bytes(Ints sum, Ints weights, Ints inputs) {
        return _mm512_dpbusd_epi32(sum, weights, inputs);
    }

    static Ints dot_int16(Ints sum, Ints weights, Ints inputs) {
        return _mm512_dpwssd_epi32(sum, weights, inputs);
    }

    static Ints even_bytes(Ints bytes) { return _mm512_and_si512(bytes, _mm512_set1_epi16(0xff)); }

    static Ints odd_bytes(Ints bytes) { return _mm512_srli_epi16(bytes, 8); }

    // The lower (0) or upper (1) int16 of each row, as int32.
    static Ints half_of_pairs(Ints pairs, uint32_t half) {
        return _mm512_srai_epi32(half == 0 ? _mm512_slli_epi32(pairs, 16) : pairs, 16);
    }

    // The int16 that each int32 holds, twice.
    static Ints twice_int16(Ints values) {
        return _mm512_or_si512(_mm512_and_si512(values, _mm512_set1_epi32(0xffff)),
                               _mm512_slli_epi32(values, 16));
    }

    static Ints all_int16(int16_t value) { return _mm512_set1_epi16(value); }

    static Ints sub_int16(Ints a, Ints b) { return _mm512_sub_epi16(a, b); }

    static Ints mul_int16(Ints a, Ints b) { return _mm512_mullo_epi16(a, b); }

    static Ints add_ints(Ints a, Ints b) { return _mm512_add_epi32(a, b); }

    static Ints mul_ints(Ints a, Ints b) { return _mm512_mullo_epi32(a, b); }

    static Floats to_floats(Ints a) { return _mm512_cvtepi32_ps(a); }

    static Floats as_floats(Ints a) { return _mm512_castsi512_ps(a); }

    static Floats mul(Floats a, Floats b) { return _mm512_mul_ps(a, b); }

    static Floats fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }

    static Floats load(const float* place) { return _mm512_loadu_ps(place); }

    static void store(float* place, Floats a) { _mm512_storeu_ps(place, a); }
};

}  // namespace
}  // namespace rekindle::kernels::avx512_vnni
