// Memory for compute buffers that was touched ahead of need: a process that waits for work pays for
// its page faults then, and not during the first prompt (24 MiB of fresh memory take 5 to 10 ms).
// Buffers take from it in the order in which they are made and never give back: it is for the one
// model that a worker serves. What does not fit comes fresh from the system.
// Invariant: what take() gives is zero-filled and given once. Threading: any.
#pragma once
#include <cstddef>

namespace rekindle::runtime::warm_memory {

// Once, before the first take(); a system that refuses leaves everything as it is.
void prepare(size_t bytes);
// `bytes` (a multiple of the page size), page-aligned; null when not so much is left.
void* take(size_t bytes) noexcept;
// Whether `memory` came from take(): it is never unmapped.
bool owns(const void* memory) noexcept;
// Bytes left.
size_t left() noexcept;

}  // namespace rekindle::runtime::warm_memory
