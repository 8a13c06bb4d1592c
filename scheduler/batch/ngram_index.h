// Where a sequence's last tokens stood before in its own text (prompt and answer): what followed
// there is a guess at what comes next. Answers that quote, copy, edit or repeat are guessed well,
// and for others there is seldom a guess at all.
// Invariant: a match was compared token by token, never by hash alone. O(1) for a token; at most
// 2 x kSlotsMax x 4 bytes, beyond which older places are forgotten.
// Threading: one thread at a time. Ownership: holds no tokens; every call gets the same text,
// grown.
#pragma once
#include "runtime/engine.h"

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace rekindle::scheduler {

class NgramIndex {
public:
    static constexpr uint32_t kSlotsMax = 1U << 16;
    // Tokens that a match is compared over; longer ones count as this long.
    static constexpr uint32_t kMatchMax = 16;

    struct Match {
        uint32_t next = 0;    // Index of the token that followed.
        uint32_t length = 0;  // Tokens alike before it; 0: no match.
    };

    // Takes in what `tokens` has more than at the last call.
    void extend(std::span<const runtime::TokenId> tokens);

    // The latest place, of those that are known, where the last tokens of `tokens` stood: by four
    // tokens, else by two.
    Match find(std::span<const runtime::TokenId> tokens) const;

private:
    static constexpr std::array<uint32_t, 2> kOrders{4, 2};  // Longest first.

    size_t slot_of(std::span<const runtime::TokenId> gram) const noexcept;

    // [orders][slots] Index of the token after the latest gram of that hash; 0: none.
    std::array<std::vector<uint32_t>, kOrders.size()> next_;
    uint32_t seen_ = 0;  // Tokens.
};

// Appends to `out` the `count` tokens that the match says come after `tokens`; a match that runs
// into the end of the text goes on with what it guessed.
void guess_from(const NgramIndex::Match& match, std::span<const runtime::TokenId> tokens,
                uint32_t count, std::vector<runtime::TokenId>& out);

}  // namespace rekindle::scheduler
