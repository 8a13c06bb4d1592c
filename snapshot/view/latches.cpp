#include "snapshot/view/latches.h"

#include <climits>

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace rekindle::snapshot {

Latch wait_latch(const uint32_t& word) noexcept {
    for (;;) {
        const Latch now = load_latch(word);
        if (now != Latch::kPending) {
            return now;
        }
        // Not FUTEX_PRIVATE: the waker is another process. EINTR, EAGAIN and spurious wake-ups all
        // mean the same: look again.
        ::syscall(SYS_futex, &word, FUTEX_WAIT, static_cast<uint32_t>(Latch::kPending), nullptr,
                  nullptr, 0);
    }
}

void set_latch(uint32_t& word, Latch value) noexcept {
    std::atomic_ref<uint32_t>(word).store(static_cast<uint32_t>(value), std::memory_order_release);
    ::syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace rekindle::snapshot
