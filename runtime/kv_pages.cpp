#include "runtime/kv_pages.h"

#include "base/check.h"
#include "kernels/kernel_table.h"

#include <fmt/format.h>

#include <utility>

namespace rekindle::runtime {

uint32_t pages_for(uint32_t positions) noexcept {
    return positions / kernels::kPageTokens + (positions % kernels::kPageTokens == 0 ? 0U : 1U);
}

KvPool::KvPool(std::span<std::byte> memory, uint32_t pages, uint64_t page_bytes) : pages_(pages) {
    REKINDLE_CHECK(page_bytes > 0 && memory.size() / page_bytes >= pages,
                   "the KV memory holds all pages");
    free_.reserve(pages);
    for (uint32_t page = pages; page > 0; --page) {  // The lowest address is taken first.
        free_.push_back(memory.data() + (page - 1) * page_bytes);
    }
}

KvPool::~KvPool() {
    REKINDLE_CHECK(free_.size() == pages_, "every KV page was given back exactly once");
}

Result<void> KvPool::extend(KvSequence& sequence, uint32_t positions) {
    REKINDLE_CHECK(sequence.pool_ == this, "a sequence belongs to one pool");
    const size_t held = sequence.pages_.size();
    const size_t needed = pages_for(positions);
    if (needed <= held) {
        return {};
    }
    if (needed - held > free_.size()) {
        return Error{ErrorCode::kResourceExhausted,
                     fmt::format("KV cache: {} more pages are needed for {} positions, {} of {} "
                                 "are free",
                                 needed - held, positions, free_.size(), pages_)};
    }
    sequence.pages_.reserve(needed);
    while (sequence.pages_.size() < needed) {
        sequence.pages_.push_back(free_.back());
        free_.pop_back();
    }
    return {};
}

void KvPool::give_back(std::span<std::byte* const> pages) noexcept {
    free_.insert(free_.end(), pages.rbegin(), pages.rend());
    REKINDLE_CHECK(free_.size() <= pages_, "a KV page was given back twice");
}

KvSequence::KvSequence(KvSequence&& other) noexcept
    : pool_(other.pool_),
      pages_(std::exchange(other.pages_, {})),
      length_(std::exchange(other.length_, 0)) {}

KvSequence& KvSequence::operator=(KvSequence&& other) noexcept {
    if (this != &other) {
        release();
        pool_ = other.pool_;
        pages_ = std::exchange(other.pages_, {});
        length_ = std::exchange(other.length_, 0);
    }
    return *this;
}

uint32_t KvSequence::capacity() const noexcept {
    return static_cast<uint32_t>(pages_.size()) * kernels::kPageTokens;
}

void KvSequence::advance(uint32_t tokens) {
    REKINDLE_CHECK(tokens <= capacity() - length_, "positions are reserved before they are filled");
    length_ += tokens;
}

void KvSequence::release() noexcept {
    pool_->give_back(pages_);
    pages_.clear();
    length_ = 0;
}

}  // namespace rekindle::runtime
