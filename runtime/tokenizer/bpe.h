// Merging of one piece's bytes to tokens: always the lowest-ranked pair first, the leftmost of
// equals. Short pieces by scanning, long ones with a heap over a linked list: O(n log n), no
// recursion. Threading: a BpeScratch serves one thread at a time.
#pragma once
#include "runtime/tokenizer/table.h"

#include <cstdint>
#include <string_view>
#include <vector>

namespace rekindle::runtime {

// Memory reused from piece to piece.
struct BpeScratch {
    struct Candidate {
        uint64_t order;   // Rank << 32 | position of the left symbol: the smallest goes first.
        uint32_t merged;  // The token that the pair made when it was found.
    };

    std::vector<uint32_t> tokens;  // By position; the left symbol of a merge keeps its place.
    std::vector<uint32_t> previous;
    std::vector<uint32_t> next;
    std::vector<uint32_t> ranks;
    std::vector<Candidate> heap;
};

// Appends the tokens of `piece` (at most 2^31 bytes). Bytes without a token of their own are left
// out, as the reference does when it has no unknown token.
void merge_piece(const TableView& table, std::string_view piece, BpeScratch& scratch,
                 std::vector<int32_t>& out);

}  // namespace rekindle::runtime
