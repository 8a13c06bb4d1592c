// The paged KV cache: a pool of equal pages, and sequences that hold some of them. A page keeps
// keys and values of kPageTokens positions for all layers, as [layer][key, value][kv_head], each
// as the pool's one KvType lays it out (kernels/kv_type.h). It has no header, so retained
// pages can be copied as they are. Full pages are shared between sequences whose text begins alike
// (runtime/prefix_index.h) and stay after their last holder until their memory is needed.
// Invariant: every page is free, or resting in the index, or held by at least one sequence; a page
// that is held by more than one is full and indexed, and nobody writes to it. The pool's destructor
// checks the first part.
// Threading: the pool may be asked from any thread; a sequence belongs to one thread at a time (the
// engine's). Compute threads read and write page contents inside a step only.
#pragma once
#include "base/result.h"
#include "runtime/prefix_index.h"
#include "snapshot/retained/kv_table.h"

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

namespace rekindle::runtime {

class KvSequence;

// A text and whose it is.
struct SaltedText {
    PrefixSalt salt{};
    std::span<const TokenId> tokens;
};

class KvPool {
public:
    // memory: at least pages x page_bytes; outlives the pool. `table` is kept equal to what the
    // pages hold; those that it lists at first rest in the pool from the start.
    KvPool(std::span<std::byte> memory, uint32_t pages, uint64_t page_bytes,
           snapshot::KvTable table = {});
    KvPool(const KvPool&) = delete;
    KvPool& operator=(const KvPool&) = delete;
    ~KvPool();

    // Pages that extend() could give: those that nobody holds, resting ones included.
    uint32_t free_pages() const noexcept;
    // Of them, those that hold a text that may be asked for again.
    uint32_t resting_pages() const noexcept;

    uint32_t pages() const noexcept { return pages_; }

    // Gives `sequence` the pages that it lacks to hold `positions`: all of them, or none and
    // kResourceExhausted. Texts that rest in the pool make room.
    Result<void> extend(KvSequence& sequence, uint32_t positions);

    // How many leading tokens of `text` are in the pool, and keeps them for longer: whole pages,
    // and never the last token, which is always computed anew for its logits.
    uint32_t cached_tokens(const SaltedText& text);
    // Goes on with the pages of `text` that are in the pool, from sequence.length() (a multiple of
    // kPageTokens, all of it published) to where cached_tokens() ends; returns how many tokens.
    uint32_t adopt(KvSequence& sequence, const SaltedText& text);
    // Offers the sequence's full pages, which were computed from `text`, to others. A page that
    // another sequence computed too is given back: their bits are the same.
    void publish(KvSequence& sequence, const SaltedText& text);

private:
    friend class KvSequence;

    PageNumber number_of(const std::byte* page) const noexcept;
    std::byte* address_of(PageNumber page) const noexcept;
    std::optional<PageNumber> find(const KvSequence& sequence, const SaltedText& text) const;
    std::byte* take();
    void hold(PageNumber page);
    void drop(PageNumber page) noexcept;
    void give_back(std::span<std::byte* const> pages) noexcept;
    void restore();
    void rest(PageNumber page);
    void list(PageNumber page, const PrefixIndex::Key& key);

    const std::span<std::byte> memory_;
    const uint64_t page_bytes_;
    const uint32_t pages_;

    mutable std::mutex mutex_;
    // Last given back, first taken: memory that is touched already is used again.
    std::vector<PageNumber> free_;
    std::vector<uint32_t> holders_;  // [pages] Sequences that hold it.
    PrefixIndex index_;
    snapshot::KvTable table_;
    uint64_t uses_ = 0;  // Counts: the order of last use in the table.
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

    // Leading pages that are indexed: their text is published or was adopted.
    uint32_t published() const noexcept { return published_; }

    // Base address of each page, in order of position.
    std::span<std::byte* const> pages() const noexcept { return pages_; }

    // Marks `tokens` more positions as filled; they must fit.
    void advance(uint32_t tokens);
    // Forgets the positions from `length` on, which must not be published; keeps all pages.
    void truncate(uint32_t length);
    // Gives all pages back and starts again at position 0.
    void release() noexcept;

private:
    friend class KvPool;

    KvPool* pool_;
    std::vector<std::byte*> pages_;
    uint32_t length_ = 0;
    uint32_t published_ = 0;  // Pages.
};

// Pages for `positions`.
uint32_t pages_for(uint32_t positions) noexcept;

}  // namespace rekindle::runtime
