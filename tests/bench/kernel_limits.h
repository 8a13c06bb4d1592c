// What the processor can do at most, measured in the same run as the kernels: a kernel's figure
// alone says little on a machine whose speed nobody knows.
// Threading: one measurement at a time. All figures are the best of several short attempts.
#pragma once
#include <cstdint>
#include <string_view>

namespace rekindle::tests {

// int8 operations per second of one core (a multiply and an add are two), for the instructions that
// kernel table `table` multiplies with; 0 for tables without any, or if this CPU can't run them.
//   avx512_vnni  512-bit vpdpbusd on registers: 64 products and their sums each
//   avx2         256-bit vpmaddubsw, and the vpaddw that adds its int16 pairs to a sum: 32 products
//                and their sums per pair of instructions. Loads, wider sums and scales are not
//                counted: no kernel can do without them, so none reaches the limit.
double int8_limit(std::string_view table);

// Bytes per second that `threads` threads read together from memory that no cache holds.
double memory_read_limit(uint32_t threads);

}  // namespace rekindle::tests
