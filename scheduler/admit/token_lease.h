// How many tokens a worker may sample for one request before it must ask again. rekindled extends
// the lease ahead of need, so a step never waits for it, but not while the client is slow to take
// what was sampled: back-pressure reaches the model instead of a buffer.
// Invariant: sampled <= granted <= tokens_max.
// Threading: one thread.
#pragma once
#include "base/result.h"

#include <cstdint>

namespace rekindle::scheduler {

struct LeaseLimits {
    uint32_t block = 32;  // Tokens in one grant: 0.1 s at 300 tokens a second.
    // A grant is due when this many are left: more than a round trip's worth of steps.
    uint32_t ahead = 16;
    // Sampled but not handed to the socket; beyond it nothing is granted.
    uint32_t undelivered_max = 256;
};

class TokenLease {
public:
    // `tokens_max`: what the request may sample at most (from Tokenized), within budget. An answer
    // that is collected and sent whole has no back-pressure: streamed = false.
    TokenLease(uint32_t tokens_max, bool streamed, LeaseLimits limits);

    // Tokens to grant now, or 0; they count as granted from then on. The first call, before
    // anything was sampled, is the lease of Go.
    uint32_t grant();
    // The worker sampled `count` more. kCorrupt when it had no right to: kill it.
    Result<void> sampled(uint32_t count);
    // `count` more were handed to the socket.
    void delivered(uint32_t count);

    uint32_t granted() const noexcept { return granted_; }

    uint32_t sampled() const noexcept { return sampled_; }

    uint32_t delivered() const noexcept { return delivered_; }

private:
    const uint32_t tokens_max_;
    const bool streamed_;
    const LeaseLimits limits_;
    uint32_t granted_ = 0;
    uint32_t sampled_ = 0;
    uint32_t delivered_ = 0;
};

}  // namespace rekindle::scheduler
