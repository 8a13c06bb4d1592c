// How many 8-bit multiply-adds this processor can do: the fastest instruction that a kernel table
// has for them, on registers alone. A product of quantised weights can't be faster than that.
// Threading: any; each thread measures its own core.
#pragma once
#include "kernels/kernel_table.h"

#include <cstdint>

namespace rekindle::kernels {

// Runs `rounds` rounds of independent instructions and tells how many operations they were (a
// multiply and an add are two). 0, at once, for a table without such an instruction.
uint64_t run_int8_chains(const KernelTable& table, uint64_t rounds) noexcept;

}  // namespace rekindle::kernels
