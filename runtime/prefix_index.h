// Which pages of the KV pool hold which text: full pages by the page before them, their tokens and
// their tenant's salt, so that a prompt that begins as an earlier text did finds its pages. A hit
// compares all of that, never a hash alone: no collision can show a page of another text or tenant.
// Pages that no sequence holds rest here until their memory is needed: first those that were never
// asked for again, then the others (which fill at most a quarter of the pool), in each the least
// recently used first.
// Invariant: the page before an indexed page is indexed, rests only if all after it rest, and then
// comes after them in the order above; so the page to take next has none after it. Every operation
// is O(1) and allocates nothing.
// Threading: its owner's lock (runtime/kv_pages.h).
#pragma once
#include "kernels/kernel_table.h"
#include "runtime/tokenizer/tokenizer.h"

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace rekindle::runtime {

using kernels::kPageTokens;  // Positions of a page.

// Whose text it is: pages are shared under one salt only.
using PrefixSalt = std::array<uint64_t, 2>;

using PageNumber = uint32_t;

class PrefixIndex {
public:
    using PageText = std::span<const TokenId, kPageTokens>;

    // What names a page: `before` is the indexed page that it follows; nothing: it begins a text.
    struct Key {
        std::optional<PageNumber> before;
        PrefixSalt salt{};
        PageText text;
    };

    explicit PrefixIndex(uint32_t pages);

    std::optional<PageNumber> find(const Key& key) const;

    bool contains(PageNumber page) const noexcept { return entries_[page].indexed; }

    // `page` is not indexed, nor is its text; it is held.
    void insert(PageNumber page, const Key& key);

    // Nobody holds the page any more: it was used just now. Pages of one sequence rest last first.
    void rest(PageNumber page);
    // Somebody goes on from the page: it was asked for again.
    void reuse(PageNumber page) noexcept { entries_[page].reused = true; }

    bool reused(PageNumber page) const noexcept { return entries_[page].reused; }

    const PrefixSalt& salt_of(PageNumber page) const noexcept { return entries_[page].salt; }

    // A resting page is held again.
    void wake(PageNumber page);

    uint32_t resting() const noexcept { return once_.count + reused_.count; }

    // Forgets the page that is worth least, and returns it; at least one rests.
    PageNumber take_least();

private:
    static constexpr PageNumber kNone = UINT32_MAX;

    struct Entry {
        bool indexed = false;
        bool resting = false;
        bool reused = false;
        uint32_t after = 0;         // Indexed pages that follow it.
        PageNumber before = kNone;  // The page that it follows.
        PrefixSalt salt{};
        std::array<TokenId, kPageTokens> text{};
        uint32_t bucket = 0;
        PageNumber next_in_bucket = kNone;
        // Neighbours in order of use, while it rests.
        PageNumber older = kNone;
        PageNumber newer = kNone;
    };

    // Resting pages in order of use.
    struct List {
        PageNumber oldest = kNone;
        PageNumber newest = kNone;
        uint32_t count = 0;
    };

    List& list_of(const Entry& entry) noexcept { return entry.reused ? reused_ : once_; }

    void append(PageNumber page);
    void remove(PageNumber page);
    uint32_t bucket_of(const Key& key) const noexcept;
    bool matches(const Entry& entry, const Key& key) const noexcept;
    void erase(PageNumber page);

    std::vector<Entry> entries_;       // [pages]
    std::vector<PageNumber> buckets_;  // A power of two of chains through next_in_bucket.
    List once_;
    List reused_;
};

}  // namespace rekindle::runtime
