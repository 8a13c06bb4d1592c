#include "snapshot/retained/kv_table.h"

#include "base/check.h"

#include <algorithm>
#include <atomic>
#include <cstring>

namespace rekindle::snapshot {
namespace {

constexpr uint64_t kMagic = 0x31'4c'42'54'56'4b'4b'52;  // "RKKVTBL1"
constexpr uint64_t kHeaderBytes = 4096;

enum State : uint32_t { kAbsent = 0, kOnce = 1, kReused = 2 };

}  // namespace

struct KvTable::Header {
    uint64_t magic;
    KvTableKey key;
};

struct KvTable::Slot {
    uint32_t state;
    uint32_t before;
    uint64_t used;
    std::array<uint64_t, 2> salt;
    std::array<int32_t, kKvPageTokens> text;
};

uint64_t KvTable::bytes_for(uint32_t pages) noexcept {
    return kHeaderBytes + uint64_t{pages} * sizeof(Slot);
}

KvTable::KvTable(std::span<std::byte> memory) noexcept {
    static_assert(sizeof(Header) <= kHeaderBytes && sizeof(Slot) == 160);
    if (memory.size() < kHeaderBytes) {
        return;
    }
    REKINDLE_CHECK(reinterpret_cast<uintptr_t>(memory.data()) % alignof(Slot) == 0,
                   "a table is aligned as mapped memory is");
    header_ = reinterpret_cast<Header*>(memory.data());
    slots_ = reinterpret_cast<Slot*>(memory.data() + kHeaderBytes);
    room_ = static_cast<uint32_t>(
        std::min<uint64_t>((memory.size() - kHeaderBytes) / sizeof(Slot), UINT32_MAX - 1));
}

void KvTable::open(const KvTableKey& key) noexcept {
    if (header_ == nullptr) {
        return;
    }
    if (header_->magic == kMagic && header_->key == key) {
        return;
    }
    const std::atomic_ref magic(header_->magic);
    const uint32_t before = magic.load() == kMagic ? header_->key.pages : 0;
    magic.store(0);  // Nothing is listed while it is made anew.
    for (uint32_t page = 0; page < std::min(room_, before); ++page) {
        slots_[page].state = kAbsent;
    }
    header_->key = key;
    magic.store(kMagic);
}

std::optional<KvTableKey> KvTable::key() const noexcept {
    if (header_ == nullptr || header_->magic != kMagic) {
        return std::nullopt;
    }
    return header_->key;
}

KvTable::Slot* KvTable::slot(uint32_t page) const noexcept {
    return page < room_ && header_->magic == kMagic ? slots_ + page : nullptr;
}

std::optional<KvTable::Entry> KvTable::get(uint32_t page) const noexcept {
    const Slot* const from = slot(page);
    if (from == nullptr || (from->state != kOnce && from->state != kReused)) {
        return std::nullopt;
    }
    return Entry{.before = from->before,
                 .reused = from->state == kReused,
                 .used = from->used,
                 .salt = from->salt,
                 .text = from->text};
}

void KvTable::put(uint32_t page, const Entry& entry) noexcept {
    Slot* const to = slot(page);
    if (to == nullptr) {
        return;
    }
    to->before = entry.before;
    to->used = entry.used;
    to->salt = entry.salt;
    to->text = entry.text;
    // Last: what is listed is whole, the page's keys and values included.
    std::atomic_ref(to->state).store(entry.reused ? kReused : kOnce, std::memory_order_release);
}

void KvTable::use(uint32_t page, bool reused, uint64_t used) noexcept {
    Slot* const to = slot(page);
    if (to == nullptr || to->state == kAbsent) {
        return;
    }
    to->used = used;
    to->state = reused ? kReused : kOnce;
}

void KvTable::remove(uint32_t page) noexcept {
    if (Slot* const to = slot(page)) {
        // Before whatever is written to the page next.
        std::atomic_ref(to->state).store(kAbsent, std::memory_order_seq_cst);
    }
}

}  // namespace rekindle::snapshot
