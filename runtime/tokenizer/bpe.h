// Merging of one piece's bytes to tokens: always the lowest-ranked pair first, the leftmost of
// equals. Short pieces by scanning, long ones with a heap over a linked list: O(n log n), no
// recursion. Threading: a BpeScratch serves one thread at a time.
#pragma once
#include "runtime/tokenizer/table.h"

#include <cstdint>
#include <string_view>
#include <vector>

namespace rekindle::runtime {

// Up to so many symbols a scan over all pairs for each merge beats the heap.
inline constexpr size_t kScanSymbolsMax = 64;

// Memory reused from piece to piece.
struct BpeScratch {
    struct Symbol {
        uint32_t token;     // The left symbol of a merge keeps its place.
        uint32_t rank;      // Of the pair that begins here.
        uint32_t previous;  // Places of the neighbours.
        uint32_t next;
    };

    std::vector<Symbol> symbols;
    std::vector<uint64_t> heap;  // Rank << 32 | place of the left symbol: the smallest goes first.

    // Gives memory back that only a very long piece needs.
    void trim();
};

// Appends the tokens of `piece` (at most 2^31 bytes). Bytes without a token of their own are left
// out, as the reference does when it has no unknown token.
void merge_piece(const TableView& table, std::string_view piece, BpeScratch& scratch,
                 std::vector<int32_t>& out);

}  // namespace rekindle::runtime
