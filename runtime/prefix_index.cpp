#include "runtime/prefix_index.h"

#include "base/check.h"
#include "base/hash.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace rekindle::runtime {
namespace {

// Reused pages keep at most this part of the pool from texts that are new. A quarter did best on a
// trace of real conversations (docs/decisions/0009-prefix-cache.md).
constexpr size_t kReusedShare = 4;

}  // namespace

PrefixIndex::PrefixIndex(uint32_t pages)
    : entries_(pages), buckets_(std::bit_ceil(std::max(1U, pages)), kNone) {}

uint32_t PrefixIndex::bucket_of(const Key& key) const noexcept {
    std::array<std::byte,
               sizeof(PageNumber) + sizeof(PrefixSalt) + sizeof(PrefixIndex::Entry::text)>
        bytes;
    const PageNumber before = key.before.value_or(kNone);
    std::byte* out = bytes.data();
    const auto append = [&out](const void* from, size_t size) {
        std::memcpy(out, from, size);
        out += size;
    };
    append(&before, sizeof(before));
    append(key.salt.data(), sizeof(PrefixSalt));
    append(key.text.data(), key.text.size_bytes());
    return static_cast<uint32_t>(xxh3(bytes) & (buckets_.size() - 1));
}

bool PrefixIndex::matches(const Entry& entry, const Key& key) const noexcept {
    return entry.before == key.before.value_or(kNone) && entry.salt == key.salt &&
           std::ranges::equal(entry.text, key.text);
}

std::optional<PageNumber> PrefixIndex::find(const Key& key) const {
    PageNumber page = buckets_[bucket_of(key)];
    while (page != kNone && !matches(entries_[page], key)) {
        page = entries_[page].next_in_bucket;
    }
    return page == kNone ? std::nullopt : std::optional(page);
}

void PrefixIndex::insert(PageNumber page, const Key& key) {
    Entry& entry = entries_[page];
    REKINDLE_CHECK(!entry.indexed, "a page is indexed once");
    entry.indexed = true;
    entry.reused = false;
    entry.after = 0;
    entry.before = key.before.value_or(kNone);
    entry.salt = key.salt;
    std::ranges::copy(key.text, entry.text.begin());
    entry.bucket = bucket_of(key);
    entry.next_in_bucket = std::exchange(buckets_[entry.bucket], page);
    if (key.before) {
        REKINDLE_CHECK(entries_[*key.before].indexed, "an indexed page follows an indexed one");
        ++entries_[*key.before].after;
    }
}

void PrefixIndex::erase(PageNumber page) {
    Entry& entry = entries_[page];
    REKINDLE_CHECK(entry.after == 0, "a page is forgotten after those that follow it");
    PageNumber* link = &buckets_[entry.bucket];
    while (*link != page) {
        link = &entries_[*link].next_in_bucket;
    }
    *link = entry.next_in_bucket;
    if (entry.before != kNone) {
        --entries_[entry.before].after;
    }
    entry.indexed = false;
}

void PrefixIndex::append(PageNumber page) {
    Entry& entry = entries_[page];
    List& list = list_of(entry);
    entry.older = list.newest;
    entry.newer = kNone;
    (list.newest == kNone ? list.oldest : entries_[list.newest].newer) = page;
    list.newest = page;
    ++list.count;
}

void PrefixIndex::remove(PageNumber page) {
    const Entry& entry = entries_[page];
    List& list = list_of(entry);
    (entry.older == kNone ? list.oldest : entries_[entry.older].newer) = entry.newer;
    (entry.newer == kNone ? list.newest : entries_[entry.newer].older) = entry.older;
    --list.count;
}

void PrefixIndex::rest(PageNumber page) {
    Entry& entry = entries_[page];
    REKINDLE_CHECK(entry.indexed && !entry.resting, "a page rests once, and only an indexed one");
    entry.resting = true;
    append(page);
    if (reused_.count > entries_.size() / kReusedShare) {
        const PageNumber oldest = reused_.oldest;
        remove(oldest);
        entries_[oldest].reused = false;
        append(oldest);
    }
}

void PrefixIndex::wake(PageNumber page) {
    REKINDLE_CHECK(entries_[page].resting, "only a resting page is woken");
    entries_[page].resting = false;
    remove(page);
}

PageNumber PrefixIndex::take_least() {
    REKINDLE_CHECK(resting() > 0, "a resting page is there to be taken");
    const PageNumber page = once_.count > 0 ? once_.oldest : reused_.oldest;
    wake(page);
    erase(page);
    return page;
}

}  // namespace rekindle::runtime
