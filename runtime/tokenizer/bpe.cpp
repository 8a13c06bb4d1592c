#include "runtime/tokenizer/bpe.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

namespace rekindle::runtime {
namespace {

constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();
// What a scratch keeps between texts: 1 MiB of symbols.
constexpr size_t kSymbolsKept = 1U << 16;

uint32_t rank_of(const TableView& table, uint32_t left, uint32_t right) noexcept {
    return static_cast<uint32_t>(table.find_merge(left, right));  // -1 becomes kNone.
}

uint32_t merged_by(const TableView& table, uint32_t rank) noexcept {
    return table.merges.data()[rank].merged;
}

// At most kScanSymbolsMax symbols, in registers and the first-level cache.
class ScanMerger {
public:
    void add(uint32_t token) noexcept { tokens_.data()[count_++] = token; }

    void run(const TableView& table) noexcept {
        uint32_t* tokens = tokens_.data();
        uint32_t* ranks = ranks_.data();  // Of the pair that begins at each place.
        for (size_t i = 0; i + 1 < count_; ++i) {
            ranks[i] = rank_of(table, tokens[i], tokens[i + 1]);
        }
        if (count_ > 0) {
            ranks[count_ - 1] = kNone;  // No pair begins at the last; remove() moves it along.
        }
        while (count_ > 1) {
            const size_t at = best();
            if (ranks[at] == kNone) {
                return;
            }
            tokens[at] = merged_by(table, ranks[at]);
            remove(at + 1);
            if (at + 1 < count_) {
                ranks[at] = rank_of(table, tokens[at], tokens[at + 1]);
            }
            if (at > 0) {
                ranks[at - 1] = rank_of(table, tokens[at - 1], tokens[at]);
            }
        }
    }

    void append_to(std::vector<int32_t>& out) const {
        for (size_t i = 0; i < count_; ++i) {
            out.push_back(static_cast<int32_t>(tokens_.data()[i]));
        }
    }

private:
    // Place of the lowest rank among the count_ - 1 pairs, the leftmost of equals.
    size_t best() const noexcept {
        const uint32_t* ranks = ranks_.data();
        size_t best = 0;
        for (size_t i = 1; i + 1 < count_; ++i) {
            best = ranks[i] < ranks[best] ? i : best;
        }
        return best;
    }

    void remove(size_t place) noexcept {
        --count_;
        for (size_t i = place; i < count_; ++i) {
            tokens_.data()[i] = tokens_.data()[i + 1];
            // The rank of the removed symbol's pair goes with it; those behind move up.
            ranks_.data()[i] = ranks_.data()[i + 1];
        }
    }

    std::array<uint32_t, kScanSymbolsMax + 1> tokens_;
    std::array<uint32_t, kScanSymbolsMax + 1> ranks_;
    size_t count_ = 0;
};

// A heap of four children a node: half as deep as a binary one, and the children of a node lie in
// one cache line.
class MinHeap {
public:
    explicit MinHeap(std::vector<uint64_t>& keys) noexcept : keys_(keys) { keys_.clear(); }

    bool empty() const noexcept { return keys_.empty(); }

    void push(uint64_t key) {
        keys_.push_back(key);
        size_t at = keys_.size() - 1;
        uint64_t* keys = keys_.data();
        while (at > 0) {
            const size_t parent = (at - 1) / kChildren;
            if (keys[parent] <= key) {
                break;
            }
            keys[at] = keys[parent];
            at = parent;
        }
        keys[at] = key;
    }

    uint64_t pop() noexcept {
        uint64_t* keys = keys_.data();
        const uint64_t top = keys[0];
        const uint64_t key = keys_.back();
        keys_.pop_back();
        const size_t count = keys_.size();
        size_t at = 0;
        for (size_t child = 1; child < count; child = at * kChildren + 1) {
            const size_t end = std::min(child + kChildren, count);
            size_t least = child;
            for (size_t i = child + 1; i < end; ++i) {
                least = keys[i] < keys[least] ? i : least;
            }
            if (key <= keys[least]) {
                break;
            }
            keys[at] = keys[least];
            at = least;
        }
        if (count > 0) {
            keys[at] = key;
        }
        return top;
    }

private:
    static constexpr size_t kChildren = 4;

    std::vector<uint64_t>& keys_;
};

class HeapMerger {
public:
    HeapMerger(const TableView& table, BpeScratch& scratch)
        : table_(table), symbols_(scratch.symbols), heap_(scratch.heap) {}

    void run() {
        const auto count = static_cast<uint32_t>(symbols_.size());
        for (uint32_t i = 0; i < count; ++i) {
            symbols_[i].previous = i == 0 ? kNone : i - 1;
            symbols_[i].next = i + 1 == count ? kNone : i + 1;
        }
        for (uint32_t i = 0; i < count; ++i) {
            update(i);
        }
        while (!heap_.empty()) {
            const uint64_t key = heap_.pop();
            const auto left = static_cast<uint32_t>(key);
            const auto rank = static_cast<uint32_t>(key >> 32);
            // Else stale: one of the two is part of another symbol since. A pair of the same rank
            // cannot come back at the same place, because symbols only grow.
            if (symbols_.data()[left].rank == rank) {
                merge(left, rank);
            }
        }
    }

    void append_to(std::vector<int32_t>& out) const {
        for (uint32_t i = 0; i != kNone; i = symbols_[i].next) {
            out.push_back(static_cast<int32_t>(symbols_[i].token));
        }
    }

private:
    // Looks the pair up that begins at `left`.
    void update(uint32_t left) {
        BpeScratch::Symbol* symbols = symbols_.data();
        BpeScratch::Symbol& symbol = symbols[left];
        symbol.rank = symbol.next == kNone
                          ? kNone
                          : rank_of(table_, symbol.token, symbols[symbol.next].token);
        if (symbol.rank != kNone) {
            heap_.push((uint64_t{symbol.rank} << 32) | left);
        }
    }

    void merge(uint32_t left, uint32_t rank) {
        BpeScratch::Symbol* symbols = symbols_.data();
        BpeScratch::Symbol& symbol = symbols[left];
        BpeScratch::Symbol& right = symbols[symbol.next];
        symbol.token = merged_by(table_, rank);
        right.rank = kNone;  // Whatever the heap still has of it is stale.
        symbol.next = right.next;
        if (symbol.next != kNone) {
            symbols[symbol.next].previous = left;
        }
        if (symbol.previous != kNone) {
            update(symbol.previous);
        }
        update(left);
    }

    const TableView& table_;
    std::vector<BpeScratch::Symbol>& symbols_;
    MinHeap heap_;
};

}  // namespace

void BpeScratch::trim() {
    if (symbols.capacity() > kSymbolsKept) {
        symbols = {};
    }
    if (heap.capacity() > kSymbolsKept) {
        heap = {};
    }
}

void merge_piece(const TableView& table, std::string_view piece, BpeScratch& scratch,
                 std::vector<int32_t>& out) {
    const int32_t* byte_tokens = table.byte_tokens.data();
    if (piece.size() <= kScanSymbolsMax) {
        ScanMerger merger;
        for (const char c : piece) {
            if (const int32_t token = byte_tokens[static_cast<uint8_t>(c)]; token >= 0) {
                merger.add(static_cast<uint32_t>(token));
            }
        }
        merger.run(table);
        merger.append_to(out);
        return;
    }
    scratch.symbols.clear();
    for (const char c : piece) {
        if (const int32_t token = byte_tokens[static_cast<uint8_t>(c)]; token >= 0) {
            scratch.symbols.push_back({static_cast<uint32_t>(token), kNone, kNone, kNone});
        }
    }
    if (scratch.symbols.empty()) {
        return;
    }
    HeapMerger merger(table, scratch);
    merger.run();
    merger.append_to(out);
}

}  // namespace rekindle::runtime
