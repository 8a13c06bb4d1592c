// The paged KV cache: a pool of equal pages, and sequences that hold some of them. A page keeps
// keys and values of kPageTokens positions for all layers, as F16 [layer][key, value][kv_head],
// with keys [head_dim][kPageTokens] (one dimension of all positions side by side, so that scores
// need no sums across a register) and values [kPageTokens][head_dim]. It has no header, so retained
// pages can be copied as they are. Invariant: every page is either free or in exactly one sequence;
// the pool's destructor checks it. Threading: the engine thread; compute threads read and write
// page contents inside a step only.
#pragma once
#include "base/result.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace rekindle::runtime {

class KvSequence;

class KvPool {
public:
    // memory: at least pages x page_bytes; outlives the pool.
    KvPool(std::span<std::byte> memory, uint32_t pages, uint64_t page_bytes);
    KvPool(const KvPool&) = delete;
    KvPool& operator=(const KvPool&) = delete;
    ~KvPool();

    uint32_t free_pages() const noexcept { return static_cast<uint32_t>(free_.size()); }

    uint32_t pages() const noexcept { return pages_; }

    // Gives `sequence` the pages that it lacks to hold `positions`: all of them, or none and
    // kResourceExhausted.
    Result<void> extend(KvSequence& sequence, uint32_t positions);

private:
    friend class KvSequence;

    void give_back(std::span<std::byte* const> pages) noexcept;

    // Last given back, first taken: memory that is touched already is used again.
    std::vector<std::byte*> free_;
    uint32_t pages_ = 0;
};

// The pages of one sequence; move-only, gives them back when destroyed. Outlived by its pool.
class KvSequence {
public:
    explicit KvSequence(KvPool& pool) noexcept : pool_(&pool) {}

    KvSequence(KvSequence&& other) noexcept;
    KvSequence& operator=(KvSequence&& other) noexcept;

    ~KvSequence() { release(); }

    // Positions that are filled: 0 .. length() - 1.
    uint32_t length() const noexcept { return length_; }

    // Positions that the pages can hold.
    uint32_t capacity() const noexcept;

    // Base address of each page, in order of position.
    std::span<std::byte* const> pages() const noexcept { return pages_; }

    // Marks `tokens` more positions as filled; they must fit.
    void advance(uint32_t tokens);
    // Gives all pages back and starts again at position 0.
    void release() noexcept;

private:
    friend class KvPool;

    KvPool* pool_;
    std::vector<std::byte*> pages_;
    uint32_t length_ = 0;
};

// Pages for `positions`.
uint32_t pages_for(uint32_t positions) noexcept;

}  // namespace rekindle::runtime
