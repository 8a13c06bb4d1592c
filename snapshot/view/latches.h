// The words that say which chunks of an image have arrived (docs/formats/image.md, "Latches").
// Invariant: a latch leaves kPending once and never changes again; the bytes of a chunk are written
// before its latch says kReady, so who has loaded kReady (acquire) may read them.
// Threading: one writer per word, any number of readers in any process.
#pragma once
#include <atomic>
#include <cstdint>
#include <span>

namespace rekindle::snapshot {

enum class Latch : uint32_t { kPending = 0, kReady = 1, kFailed = 2 };

inline constexpr uint64_t kLatchBytes = sizeof(uint32_t);

// Words that another process writes may hold anything: unknown values count as failed.
inline Latch load_latch(const uint32_t& word) noexcept {
    // A C++20 atomic_ref cannot refer to const; loading does not write.
    auto& shared = const_cast<uint32_t&>(word);
    const uint32_t value = std::atomic_ref<uint32_t>(shared).load(std::memory_order_acquire);
    return value <= 1 ? static_cast<Latch>(value) : Latch::kFailed;
}

// Sleeps on the word's shared futex until it is no longer pending.
Latch wait_latch(const uint32_t& word) noexcept;
// Stores with release order, then wakes every waiter of every process.
void set_latch(uint32_t& word, Latch value) noexcept;

}  // namespace rekindle::snapshot
