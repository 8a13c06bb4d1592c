// How AVX-512 reads each weight type: the quants of 4 columns of 16 rows, and what multiplies them.
// detail/scalar_unpack.h has the definition; vnni_tile.inl says what a type has. `rows` is 0 here:
// one register holds all 16.
#pragma once
#include "kernels/detail/avx512_common.inl"
#include "kernels/detail/r16.h"
#include "kernels/detail/vnni_shape.h"

namespace rekindle::kernels::avx512_vnni {
namespace {

using vnni::Shape;

// 16 bytes, one of each row.
[[gnu::always_inline]] inline __m128i load_factors(const std::byte* block, uint32_t place,
                                                   uint32_t index) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(block + place + index * kPanelRows));
}

[[gnu::always_inline]] inline __m512i load_group(const std::byte* block, uint32_t place,
                                                 uint32_t group) {
    return load_bytes(block + place + group * detail::kGroupBytes);
}

// Bits [shift, shift + width) of each byte.
[[gnu::always_inline]] inline __m512i bits(__m512i bytes, uint32_t shift, int mask) {
    const __m512i shifted = _mm512_srl_epi16(bytes, _mm_cvtsi32_si128(static_cast<int>(shift)));
    return _mm512_and_si512(shifted, _mm512_set1_epi8(static_cast<char>(mask)));
}

[[gnu::always_inline]] inline __m128i small_bits(__m128i bytes, uint32_t shift, int mask) {
    const __m128i shifted = _mm_srl_epi16(bytes, _mm_cvtsi32_si128(static_cast<int>(shift)));
    return _mm_and_si128(shifted, _mm_set1_epi8(static_cast<char>(mask)));
}

[[gnu::always_inline]] inline __m512 to_floats(__m128i signed_bytes) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(signed_bytes));
}

[[gnu::always_inline]] inline __m512 negated(__m512 values) {
    return _mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(values),
                                                _mm512_set1_epi32(static_cast<int>(0x80000000U))));
}

// (first, second) of each row as two int16.
[[gnu::always_inline]] inline __m512i pairs(__m128i first, __m128i second) {
    const __m512i low = _mm512_and_si512(_mm512_cvtepi8_epi32(first), _mm512_set1_epi32(0xffff));
    return _mm512_or_si512(low, _mm512_slli_epi32(_mm512_cvtepi8_epi32(second), 16));
}

// 16 bytes of nibbles for 32 columns: the low ones first.
template <detail::BlockLayout kPlace>
[[gnu::always_inline]] inline __m512i nibble_group(const std::byte* block, uint32_t slice,
                                                   uint32_t g) {
    const __m512i pair = load_group(block, kPlace.quants, slice * 4 + g % 4);
    const __m512i mask = _mm512_set1_epi8(15);
    return _mm512_and_si512(g < 4 ? pair : _mm512_srli_epi16(pair, 4), mask);
}

// 32 bytes of nibbles for two slices.
template <detail::BlockLayout kPlace>
[[gnu::always_inline]] inline __m512i pair_group(const std::byte* block, uint32_t slice,
                                                 uint32_t g) {
    return bits(load_group(block, kPlace.quants, slice / 2 * 8 + g), slice % 2 * 4, 15);
}

template <detail::BlockLayout kPlace>
[[gnu::always_inline]] inline __m512i two_bit_group(const std::byte* block, uint32_t slice,
                                                    uint32_t g) {
    return bits(load_group(block, kPlace.quants, slice / 4 * 8 + g), slice % 4 * 2, 3);
}

// quants with `value` set where bit `slice` of the high bits is.
template <detail::BlockLayout kPlace>
[[gnu::always_inline]] inline __m512i with_high_bit(__m512i quants, const std::byte* block,
                                                    uint32_t slice, uint32_t g, int value) {
    const __m512i bit = _mm512_set1_epi8(static_cast<char>(1U << slice));
    const __mmask64 set = _mm512_test_epi8_mask(load_group(block, kPlace.high, g), bit);
    return _mm512_mask_add_epi8(quants, set, quants, _mm512_set1_epi8(static_cast<char>(value)));
}

// Q5_0 and Q5_1: bits 4 g to 4 g + 3 of each row's 32 are the fifth bits.
template <detail::BlockLayout kPlace>
[[gnu::always_inline]] inline __m512i with_fifth_bit(__m512i quants, const std::byte* block,
                                                     uint32_t g) {
    const __m512i words = load_bytes(block + kPlace.high);
    const __m512i first = _mm512_set4_epi32(0x0c0c0c0c, 0x08080808, 0x04040404, 0);
    const __m512i place = _mm512_add_epi8(first, _mm512_set1_epi8(static_cast<char>(g / 2)));
    const __m512i bit = _mm512_set1_epi32(g % 2 == 0 ? 0x08040201 : static_cast<int>(0x80402010U));
    const __mmask64 set = _mm512_test_epi8_mask(_mm512_shuffle_epi8(words, place), bit);
    return _mm512_mask_add_epi8(quants, set, quants, _mm512_set1_epi8(16));
}

struct PlainType {
    static constexpr bool kQuantised = true;
    static constexpr uint32_t kSlices = 1;
    static constexpr int32_t kBias = 0;
    static constexpr uint32_t kPackedTokens = 12;

    [[gnu::always_inline]] static __m512 scales(const std::byte* block, uint32_t /*slice*/,
                                                uint32_t /*rows*/) {
        return load_halves(block);
    }
};

template <detail::BlockLayout kPlace>
struct OffsetType : PlainType {
    static constexpr Shape kShape{.offsets = true};

    [[gnu::always_inline]] static __m512 offsets(const std::byte* block, uint32_t /*slice*/,
                                                 uint32_t /*rows*/) {
        return load_halves(block + kPlace.offsets);
    }
};

struct Q4_0 : PlainType {
    static constexpr detail::BlockLayout kBlock = detail::kQ4_0Layout;
    static constexpr Shape kShape{.biased = true};
    static constexpr int32_t kBias = 8;

    [[gnu::always_inline]] static __m512i group(const std::byte* block, uint32_t slice, uint32_t g,
                                                uint32_t /*rows*/) {
        return nibble_group<kBlock>(block, slice, g);
    }
};

struct Q4_1 : OffsetType<detail::kQ4_1Layout> {
    static constexpr detail::BlockLayout kBlock = detail::kQ4_1Layout;

    [[gnu::always_inline]] static __m512i group(const std::byte* block, uint32_t slice, uint32_t g,
                                                uint32_t /*rows*/) {
        return nibble_group<kBlock>(block, slice, g);
    }
};

struct Q5_0 : PlainType {
    static constexpr detail::BlockLayout kBlock = detail::kQ5_0Layout;
    static constexpr uint32_t kPackedTokens = 4;
    static constexpr Shape kShape{.biased = true};
    static constexpr int32_t kBias = 16;

    [[gnu::always_inline]] static __m512i group(const std::byte* block, uint32_t slice, uint32_t g,
                                                uint32_t /*rows*/) {
        return with_fifth_bit<kBlock>(nibble_group<kBlock>(block, slice, g), block, g);
    }
};

struct Q5_1 : OffsetType<detail::kQ5_1Layout> {
    static constexpr detail::BlockLayout kBlock = detail::kQ5_1Layout;
    static constexpr uint32_t kPackedTokens = 4;

    [[gnu::always_inline]] static __m512i group(const std::byte* block, uint32_t slice, uint32_t g,
                                                uint32_t /*rows*/) {
        return with_fifth_bit<kBlock>(nibble_group<kBlock>(block, slice, g), block, g);
    }
};

struct Q8_0 : PlainType {
    static constexpr detail::BlockLayout kBlock = detail::kQ8_0Layout;
    static constexpr Shape kShape{.biased = true};
    static constexpr int32_t kBias = 128;

    [[gnu::always_inline]] static __m512i group(const std::byte* block, uint32_t /*slice*/,
                                                uint32_t g, uint32_t /*rows*/) {
        return _mm512_xor_si512(load_group(block, kBlock.quants, g), _mm512_set1_epi8(-128));
    }
};

// Nibbles to ggml's 16 values + 128.
[[gnu::always_inline]] inline __m512i iq4_values(__m512i nibbles) {
    const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(detail::kIQ4Values));
    const __m128i biased = _mm_xor_si128(values, _mm_set1_epi8(-128));
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(biased), nibbles);
}

struct IQ4_NL : PlainType {
    static constexpr detail::BlockLayout kBlock = detail::kIQ4_NLLayout;
    static constexpr Shape kShape{.biased = true};
    static constexpr int32_t kBias = 128;

    [[gnu::always_inline]] static __m512i group(const std::byte* block, uint32_t slice, uint32_t g,
                                                uint32_t /*rows*/) {
        return iq4_values(nibble_group<kBlock>(block, slice, g));
    }
};

struct IQ4_XS : PlainType {
    static constexpr detail::BlockLayout kBlock = detail::kIQ4_XSLayout;
    static constexpr uint32_t kPackedTokens = 4;
    static constexpr Shape kShape{.biased = true};
    static constexpr uint32_t kSlices = 8;
    static constexpr int32_t kBias = 128;

    [[gnu::always_inline]] static __m512i group(const std::byte* block, uint32_t slice, uint32_t g,
                                                uint32_t /*rows*/) {
        return iq4_values(nibble_group<kBlock>(block, slice, g));
    }

    [[gnu::always_inline]] static __m512 scales(const std::byte* block, uint32_t slice,
                                                uint32_t /*rows*/) {
        const __m128i low =
            small_bits(load_factors(block, kBlock.factors, 2 + slice / 2), slice % 2 * 4, 15);
        __m256i words;
        __builtin_memcpy(&words, block + kBlock.factors, sizeof words);
        const __m256i two = _mm256_and_si256(
            _mm256_srl_epi16(words, _mm_cvtsi32_si128(static_cast<int>(slice * 2))),
            _mm256_set1_epi16(3));
        const __m512i whole = _mm512_or_si512(_mm512_cvtepu8_epi32(low),
                                              _mm512_slli_epi32(_mm512_cvtepu16_epi32(two), 4));
        const __m512 factor = _mm512_cvtepi32_ps(_mm512_sub_epi32(whole, _mm512_set1_epi32(32)));
        return _mm512_mul_ps(load_halves(block), factor);
    }
};

// Q4_K and Q5_K: a 6-bit factor and a 6-bit minimum for each slice.
template <detail::BlockLayout kPlace>
struct SixBitPairs : PlainType {
    static constexpr uint32_t kSlices = 8;
    static constexpr Shape kShape{.offsets = true};

    [[gnu::always_inline]] static __m512 scales(const std::byte* block, uint32_t slice,
                                                uint32_t /*rows*/) {
        const auto at = [&](uint32_t index) __attribute__((always_inline)) {
            return load_factors(block, kPlace.factors, index);
        };
        const __m128i factor =
            slice < 4 ? small_bits(at(slice), 0, 63)
                      : _mm_or_si128(small_bits(at(slice + 4), 0, 15),
                                     _mm_slli_epi16(small_bits(at(slice - 4), 6, 3), 4));
        return _mm512_mul_ps(load_halves(block), to_floats(factor));
    }

    [[gnu::always_inline]] static __m512 offsets(const std::byte* block, uint32_t slice,
                                                 uint32_t /*rows*/) {
        const auto at = [&](uint32_t index) __attribute__((always_inline)) {
            return load_factors(block, kPlace.factors, index);
        };
        const __m128i min = slice < 4
                                ? small_bits(at(slice + 4), 0, 63)
                                : _mm_or_si128(small_bits(at(slice + 4), 4, 15),
                                               _mm_slli_epi16(small_bits(at(slice), 6, 3), 4));
        return _mm512_mul_ps(negated(load_halves(block + kPlace.offsets)), to_floats(min));
    }
};

struct Q4_K : SixBitPairs<detail::kQ4_KLayout> {
    static constexpr detail::BlockLayout kBlock = detail::kQ4_KLayout;
    static constexpr uint32_t kPackedTokens = 4;

    [[gnu::always_inline]] static __m512i group(const std::byte* block, uint32_t slice, uint32_t g,
                                                uint32_t /*rows*/) {
        return pair_group<kBlock>(block, slice, g);
    }
};

struct Q5_K : SixBitPairs<detail::kQ5_KLayout> {
    static constexpr detail::BlockLayout kBlock = detail::kQ5_KLayout;
    static constexpr uint32_t kPackedTokens = 4;

    [[gnu::always_inline]] static __m512i group(const std::byte* block, uint32_t slice, uint32_t g,
                                                uint32_t /*rows*/) {
        return with_high_bit<kBlock>(pair_group<kBlock>(block, slice, g), block, slice, g, 16);
    }
};

struct Q2_K : PlainType {
    static constexpr detail::BlockLayout kBlock = detail::kQ2_KLayout;
    static constexpr uint32_t kPackedTokens = 4;
    static constexpr uint32_t kSlices = 8;
    static constexpr Shape kShape{.factors = true, .offsets = true, .mins = true};

    [[gnu::always_inline]] static __m512i group(const std::byte* block, uint32_t slice, uint32_t g,
                                                uint32_t /*rows*/) {
        return two_bit_group<kBlock>(block, slice, g);
    }

    [[gnu::always_inline]] static __m512i four_bits(const std::byte* block, uint32_t slice,
                                                    uint32_t shift) {
        return pairs(small_bits(load_factors(block, kBlock.factors, slice * 2), shift, 15),
                     small_bits(load_factors(block, kBlock.factors, slice * 2 + 1), shift, 15));
    }

    [[gnu::always_inline]] static __m512i factors(const std::byte* block, uint32_t slice,
                                                  uint32_t /*rows*/) {
        return four_bits(block, slice, 0);
    }

    [[gnu::always_inline]] static __m512i mins(const std::byte* block, uint32_t slice,
                                               uint32_t /*rows*/) {
        return four_bits(block, slice, 4);
    }

    [[gnu::always_inline]] static __m512 offsets(const std::byte* block, uint32_t /*slice*/,
                                                 uint32_t /*rows*/) {
        return negated(load_halves(block + kBlock.offsets));
    }
};

struct Q3_K : PlainType {
    static constexpr detail::BlockLayout kBlock = detail::kQ3_KLayout;
    static constexpr uint32_t kPackedTokens = 4;
    static constexpr uint32_t kSlices = 8;
    static constexpr int32_t kBias = 4;
    static constexpr Shape kShape{.biased = true, .factors = true};

    [[gnu::always_inline]] static __m512i group(const std::byte* block, uint32_t slice, uint32_t g,
                                                uint32_t /*rows*/) {
        return with_high_bit<kBlock>(two_bit_group<kBlock>(block, slice, g), block, slice, g, 4);
    }

    [[gnu::always_inline]] static __m128i factor(const std::byte* block, uint32_t i) {
        const __m128i low = small_bits(load_factors(block, kBlock.factors, i % 8), i / 8 * 4, 15);
        const __m128i high =
            small_bits(load_factors(block, kBlock.factors, 8 + i % 4), i / 4 * 2, 3);
        return _mm_sub_epi8(_mm_or_si128(low, _mm_slli_epi16(high, 4)), _mm_set1_epi8(32));
    }

    [[gnu::always_inline]] static __m512i factors(const std::byte* block, uint32_t slice,
                                                  uint32_t /*rows*/) {
        return pairs(factor(block, slice * 2), factor(block, slice * 2 + 1));
    }
};

struct Q6_K : PlainType {
    static constexpr detail::BlockLayout kBlock = detail::kQ6_KLayout;
    static constexpr uint32_t kPackedTokens = 4;
    static constexpr uint32_t kSlices = 8;
    static constexpr int32_t kBias = 32;
    static constexpr Shape kShape{.biased = true, .factors = true};

    [[gnu::always_inline]] static __m512i group(const std::byte* block, uint32_t slice, uint32_t g,
                                                uint32_t /*rows*/) {
        const uint32_t part = slice % 4;
        const __m512i low = bits(
            load_group(block, kBlock.quants, slice / 4 * 16 + part % 2 * 8 + g), part / 2 * 4, 15);
        const __m512i high = bits(load_group(block, kBlock.high, slice / 4 * 8 + g), part * 2, 3);
        return _mm512_or_si512(low, _mm512_slli_epi16(high, 4));
    }

    [[gnu::always_inline]] static __m512i factors(const std::byte* block, uint32_t slice,
                                                  uint32_t /*rows*/) {
        return pairs(load_factors(block, kBlock.factors, slice * 2),
                     load_factors(block, kBlock.factors, slice * 2 + 1));
    }
};

// The same type, multiplied with inputs of 16 bits.
template <typename Type>
struct Inputs16 : Type {
    static constexpr Shape kShape = vnni::with_inputs16(Type::kShape);
    static constexpr uint32_t kPackedTokens = 4;  // Widening is worth doing once from there on.
};

}  // namespace
}  // namespace rekindle::kernels::avx512_vnni
