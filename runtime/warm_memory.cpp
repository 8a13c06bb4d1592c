#include "runtime/warm_memory.h"

#include "base/check.h"
#include "base/units.h"

#include <atomic>
#include <cstdint>
#include <cstring>
#include <sys/mman.h>

namespace rekindle::runtime::warm_memory {
namespace {

constexpr size_t kHugePageBytes = 2 * kMiB;

struct Region {
    std::byte* begin = nullptr;
    size_t bytes = 0;
    std::atomic<size_t> used{0};
};

Region& region() noexcept {
    static Region one;
    return one;
}

}  // namespace

void prepare(size_t bytes) {
    Region& all = region();
    REKINDLE_CHECK(all.begin == nullptr, "warm memory is prepared once");
    const size_t mapped = bytes + kHugePageBytes;  // Huge pages lie at multiples of their size.
    void* const memory =
        ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return;
    }
    const uintptr_t begin = align_up(reinterpret_cast<uintptr_t>(memory), kHugePageBytes);
    all.begin = reinterpret_cast<std::byte*>(begin);
    ::madvise(all.begin, bytes, MADV_HUGEPAGE);  // Without huge pages it only takes longer.
    for (size_t at = 0; at < bytes; at += kPageBytes) {
        static_cast<volatile std::byte*>(all.begin)[at] = std::byte{0};
    }
    all.bytes = bytes;
}

void* take(size_t bytes) noexcept {
    Region& all = region();
    size_t used = all.used.load();
    do {
        if (bytes > all.bytes - used) {
            return nullptr;
        }
    } while (!all.used.compare_exchange_weak(used, used + bytes));
    return all.begin + used;
}

bool owns(const void* memory) noexcept {
    const Region& all = region();
    const auto* const place = static_cast<const std::byte*>(memory);
    return all.begin != nullptr && place >= all.begin && place < all.begin + all.bytes;
}

size_t left() noexcept {
    const Region& all = region();
    return all.bytes - all.used.load();
}

}  // namespace rekindle::runtime::warm_memory
