#include "runtime/tokenizer/bpe.h"

#include <algorithm>
#include <limits>

namespace rekindle::runtime {
namespace {

constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();
// Up to here a scan over all pairs for each merge beats the heap.
constexpr size_t kScanSymbolsMax = 32;

uint32_t rank_of(const TableView& table, uint32_t left, uint32_t right) noexcept {
    return static_cast<uint32_t>(table.find_merge(left, right));  // -1 becomes kNone.
}

void merge_by_scan(const TableView& table, BpeScratch& scratch) {
    auto& tokens = scratch.tokens;
    auto& ranks = scratch.ranks;  // Of the pair that begins at each position.
    ranks.assign(tokens.size(), kNone);
    for (size_t i = 0; i + 1 < tokens.size(); ++i) {
        ranks[i] = rank_of(table, tokens[i], tokens[i + 1]);
    }
    while (tokens.size() > 1) {
        const auto best = std::min_element(ranks.begin(), ranks.end());
        if (*best == kNone) {
            return;
        }
        const auto at = static_cast<size_t>(best - ranks.begin());
        tokens[at] = table.merges[*best].merged;
        tokens.erase(tokens.begin() + static_cast<std::ptrdiff_t>(at) + 1);
        ranks.erase(ranks.begin() + static_cast<std::ptrdiff_t>(at) + 1);
        ranks[at] = at + 1 < tokens.size() ? rank_of(table, tokens[at], tokens[at + 1]) : kNone;
        if (at > 0) {
            ranks[at - 1] = rank_of(table, tokens[at - 1], tokens[at]);
        }
    }
}

class HeapMerger {
public:
    HeapMerger(const TableView& table, BpeScratch& scratch) : table_(table), s_(scratch) {
        const size_t count = s_.tokens.size();
        s_.previous.resize(count);
        s_.next.resize(count);
        for (uint32_t i = 0; i < count; ++i) {
            s_.previous[i] = i == 0 ? kNone : i - 1;
            s_.next[i] = i + 1 == count ? kNone : i + 1;
        }
        s_.heap.clear();
    }

    void run() {
        for (uint32_t i = 0; i + 1 < s_.tokens.size(); ++i) {
            if (add(i)) {
                std::push_heap(s_.heap.begin(), s_.heap.end(), later);
            }
        }
        while (!s_.heap.empty()) {
            std::pop_heap(s_.heap.begin(), s_.heap.end(), later);
            const BpeScratch::Candidate candidate = s_.heap.back();
            s_.heap.pop_back();
            apply(candidate);
        }
        compact();
    }

private:
    static bool later(const BpeScratch::Candidate& a, const BpeScratch::Candidate& b) noexcept {
        return a.order > b.order;
    }

    // Puts the pair that begins at `left` behind the heap if it merges.
    bool add(uint32_t left) {
        const uint32_t rank = rank_of(table_, s_.tokens[left], s_.tokens[s_.next[left]]);
        if (rank == kNone) {
            return false;
        }
        s_.heap.push_back({(uint64_t{rank} << 32) | left, table_.merges[rank].merged});
        return true;
    }

    void push(uint32_t left) {
        if (left != kNone && s_.next[left] != kNone && add(left)) {
            std::push_heap(s_.heap.begin(), s_.heap.end(), later);
        }
    }

    void apply(const BpeScratch::Candidate& candidate) {
        const auto left = static_cast<uint32_t>(candidate.order);
        if (s_.tokens[left] == kNone || s_.next[left] == kNone) {
            return;  // Its left symbol was merged away, or nothing follows any more.
        }
        const uint32_t right = s_.next[left];
        const uint32_t rank = rank_of(table_, s_.tokens[left], s_.tokens[right]);
        if (rank == kNone || table_.merges[rank].merged != candidate.merged) {
            return;  // Stale: a neighbour has changed since.
        }
        s_.tokens[left] = candidate.merged;
        s_.tokens[right] = kNone;
        s_.next[left] = s_.next[right];
        if (s_.next[left] != kNone) {
            s_.previous[s_.next[left]] = left;
        }
        push(s_.previous[left]);
        push(left);
    }

    void compact() {
        s_.tokens.erase(std::remove(s_.tokens.begin(), s_.tokens.end(), kNone), s_.tokens.end());
    }

    const TableView& table_;
    BpeScratch& s_;
};

}  // namespace

void merge_piece(const TableView& table, std::string_view piece, BpeScratch& scratch,
                 std::vector<int32_t>& out) {
    scratch.tokens.clear();
    for (const char c : piece) {
        const int32_t token = table.byte_tokens[static_cast<uint8_t>(c)];
        if (token >= 0) {
            scratch.tokens.push_back(static_cast<uint32_t>(token));
        }
    }
    if (scratch.tokens.size() <= kScanSymbolsMax) {
        merge_by_scan(table, scratch);
    } else {
        HeapMerger(table, scratch).run();
    }
    for (const uint32_t token : scratch.tokens) {
        out.push_back(static_cast<int32_t>(token));
    }
}

}  // namespace rekindle::runtime
