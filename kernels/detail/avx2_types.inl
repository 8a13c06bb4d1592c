// How AVX2 reads each weight type: the quants of 4 columns of eight rows, and what multiplies them.
// detail/scalar_unpack.h has the definition. A type has
//   kBlock        the packed block's layout, kSlices slices of 32 columns
//   kShape        how its quants are multiplied, and which of the functions below it has
//   kBias         weight = quant - kBias with quant unsigned
//   kPackedTokens up to so many tokens each tile unpacks for itself: 2 where that is long
//   group()       8 rows x 4 columns of uint8, group g of the slice's 8; wide types: of int8
//   scales()      floats, a row each; offsets() likewise
//   factors()     int16 pairs a row: what multiplies columns 0 to 15 and 16 to 31; mins() likewise
// `rows` is 0 or 1: which half of the panel's 16 rows.
#pragma once
#include "kernels/detail/r16.h"

#include <immintrin.h>

namespace rekindle::kernels::avx2 {
namespace {

constexpr uint32_t kLanes = 8;  // Floats, or rows, in a 256-bit register.

// What the multiplying code has to know of a type. Products of columns 2 i and 2 i + 1 are added up
// in int16, so that a lane holds those of 16 columns of a slice:
//   15 * 127 * 16 columns = 30,480 fits; so do the signed quants of Q5_0, 16 * 127 * 16 = 32,512;
//   31 * 127 * 8 columns (Q5_1, Q5_K) and 32 * 127 * 8 (Q6_K) need a second sum for columns 16 on.
// With a bias the sum starts at minus its part, and only the end result has to fit.
struct Shape {
    bool wide = false;     // Signed bytes, whose products of pairs leave no room for a sum.
    bool biased = false;   // kBias is not 0.
    bool middle = false;   // The int16 sums end after 16 columns.
    bool factors = false;  // factors() instead of 1; implies `middle`.
    bool offsets = false;
    bool mins = false;  // mins() instead of 1.
    bool inputs16 = false;
};

[[gnu::always_inline]] inline __m256i load_bytes(const void* place) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(place));
}

// Eight F16 values, exactly.
[[gnu::always_inline]] inline __m256 load_halves(const void* place) {
    return _mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(place)));
}

// Eight bytes, one of each row, as the low half of a register.
[[gnu::always_inline]] inline __m128i load_factors(const std::byte* block, uint32_t place,
                                                   uint32_t index, uint32_t rows) {
    const std::byte* bytes = block + place + index * kPanelRows + rows * kLanes;
    return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes));
}

// The rows' half of a 64-byte group.
[[gnu::always_inline]] inline __m256i load_group(const std::byte* block, uint32_t place,
                                                 uint32_t group, uint32_t rows) {
    return load_bytes(block + place + group * detail::kGroupBytes + rows * 32);
}

// Bits [shift, shift + width) of each byte.
[[gnu::always_inline]] inline __m256i bits(__m256i bytes, uint32_t shift, int mask) {
    const __m256i shifted = _mm256_srl_epi16(bytes, _mm_cvtsi32_si128(static_cast<int>(shift)));
    return _mm256_and_si256(shifted, _mm256_set1_epi8(static_cast<char>(mask)));
}

[[gnu::always_inline]] inline __m128i small_bits(__m128i bytes, uint32_t shift, int mask) {
    const __m128i shifted = _mm_srl_epi16(bytes, _mm_cvtsi32_si128(static_cast<int>(shift)));
    return _mm_and_si128(shifted, _mm_set1_epi8(static_cast<char>(mask)));
}

[[gnu::always_inline]] inline __m256 to_floats(__m128i signed_bytes) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(signed_bytes));
}

// (first, second) of each row as two int16.
[[gnu::always_inline]] inline __m256i pairs(__m128i first, __m128i second) {
    return _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(first, second));
}

// 16 bytes of nibbles for 32 columns: the low ones first.
template <detail::BlockLayout kPlace>
[[gnu::always_inline]] inline __m256i nibble_group(const std::byte* block, uint32_t slice,
                                                   uint32_t g, uint32_t rows) {
    const __m256i pair = load_group(block, kPlace.quants, slice * 4 + g % 4, rows);
    const __m256i mask = _mm256_set1_epi8(15);
    return _mm256_and_si256(g < 4 ? pair : _mm256_srli_epi16(pair, 4), mask);
}

// 32 bytes of nibbles for two slices.
template <detail::BlockLayout kPlace>
[[gnu::always_inline]] inline __m256i pair_group(const std::byte* block, uint32_t slice, uint32_t g,
                                                 uint32_t rows) {
    return bits(load_group(block, kPlace.quants, slice / 2 * 8 + g, rows), slice % 2 * 4, 15);
}

template <detail::BlockLayout kPlace>
[[gnu::always_inline]] inline __m256i two_bit_group(const std::byte* block, uint32_t slice,
                                                    uint32_t g, uint32_t rows) {
    return bits(load_group(block, kPlace.quants, slice / 4 * 8 + g, rows), slice % 4 * 2, 3);
}

// Bit `slice` of the high bits, moved to `value`.
template <detail::BlockLayout kPlace>
[[gnu::always_inline]] inline __m256i high_bit(const std::byte* block, uint32_t slice, uint32_t g,
                                               uint32_t rows, int value) {
    const __m256i bit = bits(load_group(block, kPlace.high, g, rows), slice, 1);
    return _mm256_sign_epi8(_mm256_set1_epi8(static_cast<char>(value)), bit);
}

// Q5_0 and Q5_1: bits 4 g to 4 g + 3 of each row's 32, as bytes of 0 or 16.
template <detail::BlockLayout kPlace>
[[gnu::always_inline]] inline __m256i fifth_bit(const std::byte* block, uint32_t g, uint32_t rows) {
    const __m256i words = load_bytes(block + kPlace.high + rows * 32);
    const __m256i first = _mm256_setr_epi8(0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12, 0, 0,
                                           0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12);
    const __m256i place = _mm256_add_epi8(first, _mm256_set1_epi8(static_cast<char>(g / 2)));
    const __m256i bit = _mm256_set1_epi32(g % 2 == 0 ? 0x08040201 : static_cast<int>(0x80402010U));
    const __m256i found = _mm256_and_si256(_mm256_shuffle_epi8(words, place), bit);
    return _mm256_and_si256(_mm256_cmpeq_epi8(found, bit), _mm256_set1_epi8(16));
}

struct PlainType {
    static constexpr bool kQuantised = true;
    static constexpr uint32_t kSlices = 1;
    static constexpr int32_t kBias = 0;
    static constexpr uint32_t kPackedTokens = 16;

    [[gnu::always_inline]] static __m256 scales(const std::byte* block, uint32_t /*slice*/,
                                                uint32_t rows) {
        return load_halves(block + rows * 16);
    }
};

template <detail::BlockLayout kPlace>
struct OffsetType : PlainType {
    [[gnu::always_inline]] static __m256 offsets(const std::byte* block, uint32_t /*slice*/,
                                                 uint32_t rows) {
        return load_halves(block + kPlace.offsets + rows * 16);
    }
};

struct Q4_0 : PlainType {
    static constexpr detail::BlockLayout kBlock = detail::kQ4_0Layout;
    static constexpr Shape kShape{.biased = true};
    static constexpr int32_t kBias = 8;

    [[gnu::always_inline]] static __m256i group(const std::byte* block, uint32_t slice, uint32_t g,
                                                uint32_t rows) {
        return nibble_group<kBlock>(block, slice, g, rows);
    }
};

struct Q4_1 : OffsetType<detail::kQ4_1Layout> {
    static constexpr detail::BlockLayout kBlock = detail::kQ4_1Layout;
    static constexpr Shape kShape{.offsets = true};

    [[gnu::always_inline]] static __m256i group(const std::byte* block, uint32_t slice, uint32_t g,
                                                uint32_t rows) {
        return nibble_group<kBlock>(block, slice, g, rows);
    }
};

struct Q5_0 : PlainType {
    static constexpr detail::BlockLayout kBlock = detail::kQ5_0Layout;
    static constexpr Shape kShape{.biased = true};
    static constexpr uint32_t kPackedTokens = 2;
    static constexpr int32_t kBias = 16;

    [[gnu::always_inline]] static __m256i group(const std::byte* block, uint32_t slice, uint32_t g,
                                                uint32_t rows) {
        return _mm256_or_si256(nibble_group<kBlock>(block, slice, g, rows),
                               fifth_bit<kBlock>(block, g, rows));
    }
};

struct Q5_1 : OffsetType<detail::kQ5_1Layout> {
    static constexpr detail::BlockLayout kBlock = detail::kQ5_1Layout;
    static constexpr Shape kShape{.middle = true, .offsets = true};
    static constexpr uint32_t kPackedTokens = 2;

    [[gnu::always_inline]] static __m256i group(const std::byte* block, uint32_t slice, uint32_t g,
                                                uint32_t rows) {
        return _mm256_or_si256(nibble_group<kBlock>(block, slice, g, rows),
                               fifth_bit<kBlock>(block, g, rows));
    }
};

struct WideType : PlainType {
    static constexpr Shape kShape{.wide = true};
    static constexpr uint32_t kPackedTokens =
        ~0U;  // Hardly anything to unpack beside the products.
};

struct Q8_0 : WideType {
    static constexpr detail::BlockLayout kBlock = detail::kQ8_0Layout;

    [[gnu::always_inline]] static __m256i group(const std::byte* block, uint32_t /*slice*/,
                                                uint32_t g, uint32_t rows) {
        return load_group(block, kBlock.quants, g, rows);
    }
};

[[gnu::always_inline]] inline __m256i iq4_values(__m256i nibbles) {
    const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(detail::kIQ4Values));
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(values), nibbles);
}

struct IQ4_NL : WideType {
    static constexpr detail::BlockLayout kBlock = detail::kIQ4_NLLayout;

    [[gnu::always_inline]] static __m256i group(const std::byte* block, uint32_t slice, uint32_t g,
                                                uint32_t rows) {
        return iq4_values(nibble_group<kBlock>(block, slice, g, rows));
    }
};

struct IQ4_XS : WideType {
    static constexpr detail::BlockLayout kBlock = detail::kIQ4_XSLayout;
    static constexpr uint32_t kSlices = 8;

    [[gnu::always_inline]] static __m256i group(const std::byte* block, uint32_t slice, uint32_t g,
                                                uint32_t rows) {
        return iq4_values(nibble_group<kBlock>(block, slice, g, rows));
    }

    [[gnu::always_inline]] static __m256 scales(const std::byte* block, uint32_t slice,
                                                uint32_t rows) {
        const __m128i low =
            small_bits(load_factors(block, kBlock.factors, 2 + slice / 2, rows), slice % 2 * 4, 15);
        const __m128i words = _mm_loadu_si128(
            reinterpret_cast<const __m128i*>(block + kBlock.factors + rows * kLanes * 2));
        const __m128i two =
            _mm_and_si128(_mm_srl_epi16(words, _mm_cvtsi32_si128(static_cast<int>(slice * 2))),
                          _mm_set1_epi16(3));
        const __m256i whole = _mm256_or_si256(_mm256_cvtepu8_epi32(low),
                                              _mm256_slli_epi32(_mm256_cvtepu16_epi32(two), 4));
        const __m256 factor = _mm256_cvtepi32_ps(_mm256_sub_epi32(whole, _mm256_set1_epi32(32)));
        return _mm256_mul_ps(load_halves(block + rows * 16), factor);
    }
};

// Q4_K and Q5_K: a 6-bit factor and a 6-bit minimum for each slice.
template <detail::BlockLayout kPlace>
struct SixBitPairs : PlainType {
    static constexpr uint32_t kSlices = 8;

    [[gnu::always_inline]] static __m256 scales(const std::byte* block, uint32_t slice,
                                                uint32_t rows) {
        const auto at = [&](uint32_t index) __attribute__((always_inline)) {
            return load_factors(block, kPlace.factors, index, rows);
        };
        const __m128i factor =
            slice < 4 ? small_bits(at(slice), 0, 63)
                      : _mm_or_si128(small_bits(at(slice + 4), 0, 15),
                                     _mm_slli_epi16(small_bits(at(slice - 4), 6, 3), 4));
        return _mm256_mul_ps(load_halves(block + rows * 16), to_floats(factor));
    }

    [[gnu::always_inline]] static __m256 offsets(const std::byte* block, uint32_t slice,
                                                 uint32_t rows) {
        const auto at = [&](uint32_t index) __attribute__((always_inline)) {
            return load_factors(block, kPlace.factors, index, rows);
        };
        const __m128i min = slice < 4
                                ? small_bits(at(slice + 4), 0, 63)
                                : _mm_or_si128(small_bits(at(slice + 4), 4, 15),
                                               _mm_slli_epi16(small_bits(at(slice), 6, 3), 4));
        const __m256 scale = load_halves(block + kPlace.offsets + rows * 16);
        return _mm256_mul_ps(_mm256_xor_ps(scale, _mm256_set1_ps(-0.0F)), to_floats(min));
    }
};

struct Q4_K : SixBitPairs<detail::kQ4_KLayout> {
    static constexpr detail::BlockLayout kBlock = detail::kQ4_KLayout;
    static constexpr Shape kShape{.offsets = true};
    static constexpr uint32_t kPackedTokens = 2;

    [[gnu::always_inline]] static __m256i group(const std::byte* block, uint32_t slice, uint32_t g,
                                                uint32_t rows) {
        return pair_group<kBlock>(block, slice, g, rows);
    }
};

struct Q5_K : SixBitPairs<detail::kQ5_KLayout> {
    static constexpr detail::BlockLayout kBlock = detail::kQ5_KLayout;
    static constexpr Shape kShape{.middle = true, .offsets = true};
    static constexpr uint32_t kPackedTokens = 2;

    [[gnu::always_inline]] static __m256i group(const std::byte* block, uint32_t slice, uint32_t g,
                                                uint32_t rows) {
        return _mm256_or_si256(pair_group<kBlock>(block, slice, g, rows),
                               high_bit<kBlock>(block, slice, g, rows, 16));
    }
};

struct Q2_K : PlainType {
    static constexpr detail::BlockLayout kBlock = detail::kQ2_KLayout;
    static constexpr Shape kShape{.middle = true, .factors = true, .offsets = true, .mins = true};
    static constexpr uint32_t kPackedTokens = 2;
    static constexpr uint32_t kSlices = 8;

    [[gnu::always_inline]] static __m256i group(const std::byte* block, uint32_t slice, uint32_t g,
                                                uint32_t rows) {
        return two_bit_group<kBlock>(block, slice, g, rows);
    }

    [[gnu::always_inline]] static __m256i four_bits(const std::byte* block, uint32_t slice,
                                                    uint32_t rows, uint32_t shift) {
        const __m128i first = load_factors(block, kBlock.factors, slice * 2, rows);
        const __m128i second = load_factors(block, kBlock.factors, slice * 2 + 1, rows);
        return pairs(small_bits(first, shift, 15), small_bits(second, shift, 15));
    }

    [[gnu::always_inline]] static __m256i factors(const std::byte* block, uint32_t slice,
                                                  uint32_t rows) {
        return four_bits(block, slice, rows, 0);
    }

    [[gnu::always_inline]] static __m256i mins(const std::byte* block, uint32_t slice,
                                               uint32_t rows) {
        return four_bits(block, slice, rows, 4);
    }

    [[gnu::always_inline]] static __m256 offsets(const std::byte* block, uint32_t /*slice*/,
                                                 uint32_t rows) {
        return _mm256_xor_ps(load_halves(block + kBlock.offsets + rows * 16),
                             _mm256_set1_ps(-0.0F));
    }
};

struct Q3_K : PlainType {
    static constexpr detail::BlockLayout kBlock = detail::kQ3_KLayout;
    static constexpr Shape kShape{.biased = true, .middle = true, .factors = true};
    static constexpr uint32_t kPackedTokens = 2;
    static constexpr uint32_t kSlices = 8;
    static constexpr int32_t kBias = 4;

    [[gnu::always_inline]] static __m256i group(const std::byte* block, uint32_t slice, uint32_t g,
                                                uint32_t rows) {
        return _mm256_or_si256(two_bit_group<kBlock>(block, slice, g, rows),
                               high_bit<kBlock>(block, slice, g, rows, 4));
    }

    [[gnu::always_inline]] static __m128i factor(const std::byte* block, uint32_t i,
                                                 uint32_t rows) {
        const __m128i low =
            small_bits(load_factors(block, kBlock.factors, i % 8, rows), i / 8 * 4, 15);
        const __m128i high =
            small_bits(load_factors(block, kBlock.factors, 8 + i % 4, rows), i / 4 * 2, 3);
        return _mm_sub_epi8(_mm_or_si128(low, _mm_slli_epi16(high, 4)), _mm_set1_epi8(32));
    }

    [[gnu::always_inline]] static __m256i factors(const std::byte* block, uint32_t slice,
                                                  uint32_t rows) {
        return pairs(factor(block, slice * 2, rows), factor(block, slice * 2 + 1, rows));
    }
};

struct Q6_K : PlainType {
    static constexpr detail::BlockLayout kBlock = detail::kQ6_KLayout;
    static constexpr Shape kShape{.biased = true, .middle = true, .factors = true};
    static constexpr uint32_t kPackedTokens = 2;
    static constexpr uint32_t kSlices = 8;
    static constexpr int32_t kBias = 32;

    [[gnu::always_inline]] static __m256i group(const std::byte* block, uint32_t slice, uint32_t g,
                                                uint32_t rows) {
        const uint32_t part = slice % 4;
        const __m256i low =
            bits(load_group(block, kBlock.quants, slice / 4 * 16 + part % 2 * 8 + g, rows),
                 part / 2 * 4, 15);
        const __m256i high =
            bits(load_group(block, kBlock.high, slice / 4 * 8 + g, rows), part * 2, 3);
        return _mm256_or_si256(low, _mm256_slli_epi16(high, 4));
    }

    [[gnu::always_inline]] static __m256i factors(const std::byte* block, uint32_t slice,
                                                  uint32_t rows) {
        return pairs(load_factors(block, kBlock.factors, slice * 2, rows),
                     load_factors(block, kBlock.factors, slice * 2 + 1, rows));
    }
};

// The same type, multiplied with inputs of 16 bits.
template <typename Type>
struct Inputs16 : Type {
    static constexpr Shape with_inputs16(Shape shape) {
        shape.inputs16 = true;
        return shape;
    }

    static constexpr Shape kShape = with_inputs16(Type::kShape);
    // Widening takes a third of a tile's instructions: worth doing once from the third tile on.
    static constexpr uint32_t kPackedTokens = Type::kPackedTokens < 8 ? Type::kPackedTokens : 8;
};

}  // namespace
}  // namespace rekindle::kernels::avx2
