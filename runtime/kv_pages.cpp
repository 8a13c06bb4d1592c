#include "runtime/kv_pages.h"

#include "base/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace rekindle::runtime {
namespace {

PrefixIndex::PageText page_text(const SaltedText& text, size_t page) {
    return text.tokens.subspan(page * kPageTokens).first<kPageTokens>();
}

// Pages of a text that may come from the cache: all that end before its last token.
size_t reusable_pages(const SaltedText& text) noexcept {
    return text.tokens.empty() ? 0 : (text.tokens.size() - 1) / kPageTokens;
}

}  // namespace

uint32_t pages_for(uint32_t positions) noexcept {
    return positions / kPageTokens + (positions % kPageTokens == 0 ? 0U : 1U);
}

KvPool::KvPool(std::span<std::byte> memory, uint32_t pages, uint64_t page_bytes,
               snapshot::KvTable table)
    : memory_(memory),
      page_bytes_(page_bytes),
      pages_(pages),
      holders_(pages),
      index_(pages),
      table_(table) {
    REKINDLE_CHECK(page_bytes > 0 && memory.size() / page_bytes >= pages,
                   "the KV memory holds all pages");
    restore();
    free_.reserve(pages);
    for (uint32_t page = pages; page > 0; --page) {  // The lowest address is taken first.
        if (!index_.contains(page - 1)) {
            free_.push_back(page - 1);
        }
    }
}

// A page was used later than those that follow it: in descending order of use each comes after the
// page that it follows. Whatever a table says, no page is indexed twice or without the one before.
void KvPool::restore() {
    static_assert(kPageTokens == snapshot::kKvPageTokens);
    struct Listed {
        PageNumber page;
        snapshot::KvTable::Entry entry;
    };
    std::vector<Listed> listed;
    for (PageNumber page = 0; page < pages_; ++page) {
        if (const auto entry = table_.get(page)) {
            listed.push_back({page, *entry});
        }
    }
    std::ranges::sort(listed, [](const Listed& a, const Listed& b) {
        return std::pair(a.entry.used, a.page) > std::pair(b.entry.used, b.page);
    });
    std::vector<PageNumber> indexed;
    for (const Listed& one : listed) {
        const bool begins = one.entry.before == snapshot::KvTable::kNoPage;
        const bool follows = !begins && one.entry.before < pages_ &&
                             index_.contains(one.entry.before) &&
                             index_.salt_of(one.entry.before) == one.entry.salt;
        const PrefixIndex::Key key{begins ? std::nullopt : std::optional(one.entry.before),
                                   one.entry.salt, one.entry.text};
        if ((!begins && !follows) || index_.find(key)) {
            table_.remove(one.page);
            continue;
        }
        index_.insert(one.page, key);
        if (one.entry.reused) {
            index_.reuse(one.page);
        }
        indexed.push_back(one.page);
    }
    for (size_t i = indexed.size(); i > 0; --i) {  // The last used one rests last.
        rest(indexed[i - 1]);
    }
}

void KvPool::list(PageNumber page, const PrefixIndex::Key& key) {
    snapshot::KvTable::Entry entry{.before = key.before.value_or(snapshot::KvTable::kNoPage),
                                   .salt = key.salt};
    std::ranges::copy(key.text, entry.text.begin());
    table_.put(page, entry);
}

void KvPool::rest(PageNumber page) {
    index_.rest(page);
    table_.use(page, index_.reused(page), ++uses_);
}

KvPool::~KvPool() {
    REKINDLE_CHECK(free_.size() + index_.resting() == pages_,
                   "every KV page was given back exactly once");
}

uint32_t KvPool::free_pages() const noexcept {
    const std::lock_guard lock(mutex_);
    return static_cast<uint32_t>(free_.size()) + index_.resting();
}

uint32_t KvPool::resting_pages() const noexcept {
    const std::lock_guard lock(mutex_);
    return index_.resting();
}

PageNumber KvPool::number_of(const std::byte* page) const noexcept {
    return static_cast<PageNumber>(static_cast<uint64_t>(page - memory_.data()) / page_bytes_);
}

std::byte* KvPool::address_of(PageNumber page) const noexcept {
    return memory_.data() + page * page_bytes_;
}

Result<void> KvPool::extend(KvSequence& sequence, uint32_t positions) {
    REKINDLE_CHECK(sequence.pool_ == this, "a sequence belongs to one pool");
    const size_t held = sequence.pages_.size();
    const size_t needed = pages_for(positions);
    if (needed <= held) {
        return {};
    }
    const std::lock_guard lock(mutex_);
    const size_t available = free_.size() + index_.resting();
    if (needed - held > available) {
        return Error{ErrorCode::kResourceExhausted,
                     fmt::format("KV cache: {} more pages are needed for {} positions, {} of {} "
                                 "are free",
                                 needed - held, positions, available, pages_)};
    }
    sequence.pages_.reserve(needed);
    while (sequence.pages_.size() < needed) {
        sequence.pages_.push_back(take());
    }
    return {};
}

std::byte* KvPool::take() {
    PageNumber page = 0;
    if (free_.empty()) {
        page = index_.take_least();
        table_.remove(page);  // Before anybody writes to it.
    } else {
        page = free_.back();
        free_.pop_back();
    }
    REKINDLE_CHECK(holders_[page] == 0, "a page that is given out is nobody's");
    holders_[page] = 1;
    return address_of(page);
}

void KvPool::hold(PageNumber page) {
    if (holders_[page]++ == 0) {
        index_.wake(page);
    }
}

void KvPool::drop(PageNumber page) noexcept {
    REKINDLE_CHECK(holders_[page] > 0, "a KV page was given back twice");
    if (--holders_[page] > 0) {
        return;
    }
    if (index_.contains(page)) {
        rest(page);
    } else {
        free_.push_back(page);
    }
}

// Last page first: in the order of use a page is older than the one that it follows.
void KvPool::give_back(std::span<std::byte* const> pages) noexcept {
    const std::lock_guard lock(mutex_);
    for (size_t i = pages.size(); i > 0; --i) {
        drop(number_of(pages[i - 1]));
    }
}

// The indexed page that follows what the sequence has published, with the next tokens of `text`.
std::optional<PageNumber> KvPool::find(const KvSequence& sequence, const SaltedText& text) const {
    const uint32_t next = sequence.published_;
    const auto before =
        next == 0 ? std::nullopt : std::optional(number_of(sequence.pages_[next - 1]));
    return index_.find({before, text.salt, page_text(text, next)});
}

uint32_t KvPool::cached_tokens(const SaltedText& text) {
    KvSequence probe(*this);  // Its end gives the pages back as used just now.
    return adopt(probe, text);
}

uint32_t KvPool::adopt(KvSequence& sequence, const SaltedText& text) {
    REKINDLE_CHECK(sequence.pool_ == this, "a sequence belongs to one pool");
    REKINDLE_CHECK(sequence.length_ == sequence.published_ * kPageTokens,
                   "what a sequence has computed is published before it adopts more");
    const size_t last = reusable_pages(text);
    const uint32_t first = sequence.published_;
    const std::lock_guard lock(mutex_);
    while (sequence.published_ < last) {
        const auto page = find(sequence, text);
        if (!page) {
            break;
        }
        hold(*page);
        index_.reuse(*page);
        if (sequence.published_ < sequence.pages_.size()) {  // Reserved, and not yet written to.
            drop(number_of(sequence.pages_[sequence.published_]));
            sequence.pages_[sequence.published_] = address_of(*page);
        } else {
            sequence.pages_.push_back(address_of(*page));
        }
        ++sequence.published_;
    }
    sequence.length_ = sequence.published_ * kPageTokens;
    return (sequence.published_ - first) * kPageTokens;
}

void KvPool::publish(KvSequence& sequence, const SaltedText& text) {
    REKINDLE_CHECK(sequence.pool_ == this && sequence.length_ <= text.tokens.size(),
                   "a sequence's positions were computed from its text");
    const uint32_t full = sequence.length_ / kPageTokens;
    if (sequence.published_ == full) {
        return;
    }
    const std::lock_guard lock(mutex_);
    while (sequence.published_ < full) {
        const uint32_t next = sequence.published_;
        const PageNumber own = number_of(sequence.pages_[next]);
        if (const auto same = find(sequence, text)) {
            hold(*same);
            drop(own);
            sequence.pages_[next] = address_of(*same);
        } else {
            const auto before =
                next == 0 ? std::nullopt : std::optional(number_of(sequence.pages_[next - 1]));
            const PrefixIndex::Key key{before, text.salt, page_text(text, next)};
            index_.insert(own, key);
            list(own, key);
        }
        ++sequence.published_;
    }
}

KvSequence::KvSequence(KvSequence&& other) noexcept
    : pool_(other.pool_),
      pages_(std::exchange(other.pages_, {})),
      length_(std::exchange(other.length_, 0)),
      published_(std::exchange(other.published_, 0)) {}

KvSequence& KvSequence::operator=(KvSequence&& other) noexcept {
    if (this != &other) {
        release();
        pool_ = other.pool_;
        pages_ = std::exchange(other.pages_, {});
        length_ = std::exchange(other.length_, 0);
        published_ = std::exchange(other.published_, 0);
    }
    return *this;
}

uint32_t KvSequence::capacity() const noexcept {
    return static_cast<uint32_t>(pages_.size()) * kPageTokens;
}

void KvSequence::advance(uint32_t tokens) {
    REKINDLE_CHECK(tokens <= capacity() - length_, "positions are reserved before they are filled");
    length_ += tokens;
}

void KvSequence::truncate(uint32_t length) {
    REKINDLE_CHECK(length <= length_ && length >= published_ * kPageTokens,
                   "only positions that nobody else sees are forgotten");
    length_ = length;
}

void KvSequence::release() noexcept {
    if (!pages_.empty()) {
        pool_->give_back(pages_);
    }
    pages_.clear();
    length_ = 0;
    published_ = 0;
}

}  // namespace rekindle::runtime
