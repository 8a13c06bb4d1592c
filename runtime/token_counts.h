// Which tokens a sequence holds and how often each was sampled: what penalties need. A token costs
// one entry however often it comes, so a penalty touches only tokens that were seen.
// Invariant: entries stand in order of first appearance. Threading: one thread at a time.
#pragma once
#include "runtime/tokenizer/tokenizer.h"

#include <cstdint>
#include <span>
#include <vector>

namespace rekindle::runtime {

class TokenCounts {
public:
    struct Entry {
        TokenId token;
        uint32_t sampled;  // 0: in the prompt only.
    };

    void add_prompt(std::span<const TokenId> tokens);
    void add_sampled(TokenId token);

    std::span<const Entry> entries() const noexcept { return entries_; }

private:
    Entry& entry_of(TokenId token);
    void grow();

    std::vector<Entry> entries_;
    std::vector<uint32_t> slots_;  // A power of two, at most half full: index + 1, or 0.
};

}  // namespace rekindle::runtime
