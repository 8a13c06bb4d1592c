// How fast this machine could be at what decides a model's speed: reading memory, and multiplying
// 8-bit numbers. Measured on all threads that a model would use.
// Threading: any thread; helpers live as long as the call.
#pragma once
#include "base/clock.h"
#include "kernels/kernel_table.h"

#include <cstdint>

namespace rekindle::runtime {

// Bytes per second that `threads` threads together read from memory (not from a cache): the best
// of many short passes over 64 MiB a thread.
double measure_memory_read(uint32_t threads, const Clock& clock);

// 8-bit operations per second (a multiply and an add are two) of `threads` threads together, by the
// table's fastest instruction for them; 0 for a table that has none.
double measure_int8(const kernels::KernelTable& kernels, uint32_t threads, const Clock& clock);

}  // namespace rekindle::runtime
