// Writing keys and values of rows into a page of any type, for any register width: `V` is the
// Vector of an instruction set, `N` says how the page keeps its numbers (kv_numbers.inl).
// For files that are compiled for one instruction set; internal linkage, see README.md.
#pragma once
#include "kernels/detail/kv_numbers.inl"
#include "kernels/kernel_table.h"

#include <immintrin.h>

namespace rekindle::kernels {
namespace {

// Columns [0, 8) of eight rows of 16-bit values, each column stored as eight neighbours.
[[gnu::always_inline]] inline void transpose_8x8(const uint16_t* rows, size_t stride,
                                                 std::byte* columns, size_t column_bytes) {
    __m128i row[8];
    for (uint32_t i = 0; i < 8; ++i) {
        row[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows + i * stride));
    }
    __m128i pair[8];  // Rows 2i and 2i + 1, columns 0 to 3, then 4 to 7.
    __m128i four[8];  // Rows 4i to 4i + 3, two columns each.
    for (uint32_t i = 0; i < 4; ++i) {
        pair[i] = _mm_unpacklo_epi16(row[2 * i], row[2 * i + 1]);
        pair[i + 4] = _mm_unpackhi_epi16(row[2 * i], row[2 * i + 1]);
    }
    for (uint32_t i = 0; i < 2; ++i) {
        four[i] = _mm_unpacklo_epi32(pair[2 * i], pair[2 * i + 1]);
        four[i + 2] = _mm_unpackhi_epi32(pair[2 * i], pair[2 * i + 1]);
        four[i + 4] = _mm_unpacklo_epi32(pair[2 * i + 4], pair[2 * i + 5]);
        four[i + 6] = _mm_unpackhi_epi32(pair[2 * i + 4], pair[2 * i + 5]);
    }
    for (uint32_t i = 0; i < 4; ++i) {
        const __m128i even = _mm_unpacklo_epi64(four[2 * i], four[2 * i + 1]);
        const __m128i odd = _mm_unpackhi_epi64(four[2 * i], four[2 * i + 1]);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(columns + 2 * i * column_bytes), even);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(columns + (2 * i + 1) * column_bytes), odd);
    }
}

// The same of bytes.
[[gnu::always_inline]] inline void transpose_8x8(const int8_t* rows, size_t stride,
                                                 std::byte* columns, size_t column_bytes) {
    __m128i row[8];
    for (uint32_t i = 0; i < 8; ++i) {
        row[i] = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(rows + i * stride));
    }
    __m128i pair[4];  // Rows 2i and 2i + 1, all columns.
    for (uint32_t i = 0; i < 4; ++i) {
        pair[i] = _mm_unpacklo_epi8(row[2 * i], row[2 * i + 1]);
    }
    // Four rows of four columns.
    const __m128i top_left = _mm_unpacklo_epi16(pair[0], pair[1]);
    const __m128i top_right = _mm_unpackhi_epi16(pair[0], pair[1]);
    const __m128i bottom_left = _mm_unpacklo_epi16(pair[2], pair[3]);
    const __m128i bottom_right = _mm_unpackhi_epi16(pair[2], pair[3]);
    const __m128i two[4] = {
        _mm_unpacklo_epi32(top_left, bottom_left), _mm_unpackhi_epi32(top_left, bottom_left),
        _mm_unpacklo_epi32(top_right, bottom_right), _mm_unpackhi_epi32(top_right, bottom_right)};
    for (uint32_t i = 0; i < 4; ++i) {
        std::byte* column = columns + 2 * i * column_bytes;
        _mm_storel_epi64(reinterpret_cast<__m128i*>(column), two[i]);
        _mm_storel_epi64(reinterpret_cast<__m128i*>(column + column_bytes),
                         _mm_unpackhi_epi64(two[i], two[i]));
    }
}

// Keys [rows][head_dim] to slots [slot, slot + rows) of a page's [head_dim][kPageTokens].
template <typename Number>
[[gnu::always_inline]] inline void scatter_keys(const Number* numbers, const KvStoreArgs& args) {
    constexpr size_t kColumnBytes = kPageTokens * sizeof(Number);
    uint32_t row = 0;
    for (; row + 8 <= args.rows; row += 8) {
        for (uint32_t d = 0; d < args.head_dim; d += 8) {
            transpose_8x8(numbers + static_cast<size_t>(row) * args.head_dim + d, args.head_dim,
                          args.page_keys + d * kColumnBytes + (args.slot + row) * sizeof(Number),
                          kColumnBytes);
        }
    }
    for (; row < args.rows; ++row) {
        const Number* key = numbers + static_cast<size_t>(row) * args.head_dim;
        std::byte* out = args.page_keys + (args.slot + row) * sizeof(Number);
        for (uint32_t d = 0; d < args.head_dim; ++d) {
            __builtin_memcpy(out + d * kColumnBytes, key + d, sizeof(Number));
        }
    }
}

// Behind the numbers of a head.
[[gnu::always_inline]] inline void store_scale(std::byte* head, const KvStoreArgs& args,
                                               uint32_t row, float scale) {
    const size_t numbers = static_cast<size_t>(kPageTokens) * args.head_dim;
    __builtin_memcpy(head + numbers + (args.slot + row) * sizeof scale, &scale, sizeof scale);
}

template <typename V, typename N>
void store_numbers(const KvStoreArgs& args) {
    using Number = typename N::Number;
    alignas(64) Number keys[kPageTokens * kHeadDimMax];
    for (uint32_t row = 0; row < args.rows; ++row) {
        const size_t in_page = static_cast<size_t>(args.slot + row) * args.head_dim;
        const float key_scale = N::store_row(args.keys + row * args.stride, args.head_dim,
                                             keys + static_cast<size_t>(row) * args.head_dim);
        const float value_scale =
            N::store_row(args.values + row * args.stride, args.head_dim,
                         reinterpret_cast<Number*>(args.page_values) + in_page);
        if constexpr (N::kScaled) {
            store_scale(args.page_keys, args, row, key_scale);
            store_scale(args.page_values, args, row, value_scale);
        }
    }
    scatter_keys(keys, args);
}

template <typename V>
void store_rows(const KvStoreArgs& args) {
    switch (args.type) {
        case KvType::kF16:
            store_numbers<V, F16Numbers<V>>(args);
            break;
        case KvType::kBF16:
            store_numbers<V, BF16Numbers<V>>(args);
            break;
        case KvType::kQ8_0:
            store_numbers<V, Q8Numbers<V>>(args);
            break;
    }
}

}  // namespace
}  // namespace rekindle::kernels
