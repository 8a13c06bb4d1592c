#include "snapshot/tiers/detail/restore_pace.h"

namespace rekindle::snapshot {

bool RestorePace::may_read() {
    const Nanoseconds now = clock_.monotonic();
    if (!began_) {
        began_ = now;
    }
    return share_.load() == 100 || now - *began_ < kReadSlice;
}

Nanoseconds RestorePace::take_rest() {
    constexpr uint32_t kWhole = 100;
    const uint32_t share = share_.load();
    if (!began_ || share == kWhole) {
        began_.reset();
        return Nanoseconds(0);
    }
    const Nanoseconds read_for = clock_.monotonic() - *began_;
    if (read_for < kReadSlice) {
        return Nanoseconds(0);
    }
    began_.reset();
    return read_for * (kWhole - share) / share;
}

}  // namespace rekindle::snapshot
