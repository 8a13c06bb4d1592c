#include "scheduler/admit/token_lease.h"

#include "base/check.h"

#include <fmt/format.h>

#include <algorithm>

namespace rekindle::scheduler {

TokenLease::TokenLease(uint32_t tokens_max, bool streamed, LeaseLimits limits)
    : tokens_max_(tokens_max), streamed_(streamed), limits_(limits) {
    REKINDLE_CHECK(limits.block > 0, "a lease of no tokens never ends");
}

uint32_t TokenLease::grant() {
    const uint32_t left = granted_ - sampled_;
    const bool due = granted_ == 0 || left <= limits_.ahead;
    const bool client_keeps_up = !streamed_ || sampled_ - delivered_ <= limits_.undelivered_max;
    if (!due || !client_keeps_up) {
        return 0;
    }
    const uint32_t tokens = std::min(limits_.block, tokens_max_ - granted_);
    granted_ += tokens;
    return tokens;
}

Result<void> TokenLease::sampled(uint32_t count) {
    if (count > granted_ - sampled_) {
        return Error{ErrorCode::kCorrupt,
                     fmt::format("the worker sampled {} tokens with a lease of {}", count,
                                 granted_ - sampled_)};
    }
    sampled_ += count;
    return {};
}

void TokenLease::delivered(uint32_t count) {
    REKINDLE_CHECK(count <= sampled_ - delivered_, "a token is sampled before it is delivered");
    delivered_ += count;
}

}  // namespace rekindle::scheduler
