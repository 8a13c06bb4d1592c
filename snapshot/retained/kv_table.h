// What each page of a KV memory file holds, kept beside it in a memory file of its own: the page's
// text, whose it is, and the page that it follows. The worker writes it while it serves, so that
// after the worker is gone, however that happened, a later worker of the same revision goes on with
// the same pages: nothing is copied, and a system prompt is not computed again.
// Invariant: a page is listed only while its keys and values are whole: it is put after they were
// computed and removed before anybody writes to the page again, in an order that holds at any
// instruction at which the process may end.
// Trust: a worker wrote all of this. Every field is checked where it is read; a listed page whose
// entry makes no sense is not there. Format: docs/formats/kv-table.md.
// Threading: the owner's lock. Ownership: a view; the memory outlives it.
#pragma once
#include "base/hash.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace rekindle::snapshot {

inline constexpr uint32_t kKvPageTokens = 32;  // Positions of a page.

// What keys and values depend on; pages of another key are of no use.
struct KvTableKey {
    Sha256Digest digest{};    // Of image, kernels, element type and build.
    uint64_t page_bytes = 0;  // Of one page in the KV memory.
    uint32_t pages = 0;       // That the KV memory holds.

    auto operator<=>(const KvTableKey&) const = default;
};

class KvTable {
public:
    static constexpr uint32_t kNoPage = UINT32_MAX;

    struct Entry {
        uint32_t before = kNoPage;       // The page that it follows; kNoPage: it begins a text.
        bool reused = false;             // Asked for again since it was computed.
        uint64_t used = 0;               // Order of last use; later ones are larger.
        std::array<uint64_t, 2> salt{};  // Whose text it is.
        std::array<int32_t, kKvPageTokens> text{};
    };

    // Bytes that the entries of `pages` pages take.
    static uint64_t bytes_for(uint32_t pages) noexcept;

    KvTable() = default;

    // Pages that `memory` has no room for are never listed.
    explicit KvTable(std::span<std::byte> memory) noexcept;

    // Forgets everything unless the table was made under `key`.
    void open(const KvTableKey& key) noexcept;
    // What the table was opened under last; nothing when it never was.
    std::optional<KvTableKey> key() const noexcept;

    // Nothing for a page that is not listed.
    std::optional<Entry> get(uint32_t page) const noexcept;
    void put(uint32_t page, const Entry& entry) noexcept;
    // A listed page was used, as the last of all so far.
    void use(uint32_t page, bool reused, uint64_t used) noexcept;
    void remove(uint32_t page) noexcept;

private:
    struct Header;
    struct Slot;

    Slot* slot(uint32_t page) const noexcept;

    Header* header_ = nullptr;
    Slot* slots_ = nullptr;
    uint32_t room_ = 0;  // Entries.
};

}  // namespace rekindle::snapshot
