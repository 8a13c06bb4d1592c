#include "runtime/token_counts.h"

#include <algorithm>

namespace rekindle::runtime {
namespace {

size_t first_slot(TokenId token, size_t slots) noexcept {
    const uint32_t hash = static_cast<uint32_t>(token) * 0x9E37'79B1U;  // 2^32 / golden ratio.
    return (hash ^ (hash >> 15)) & (slots - 1);
}

}  // namespace

void TokenCounts::add_prompt(std::span<const TokenId> tokens) {
    for (const TokenId token : tokens) {
        entry_of(token);
    }
}

void TokenCounts::add_sampled(TokenId token) {
    ++entry_of(token).sampled;
}

TokenCounts::Entry& TokenCounts::entry_of(TokenId token) {
    if (entries_.size() * 2 >= slots_.size()) {
        grow();
    }
    size_t slot = first_slot(token, slots_.size());
    while (slots_[slot] != 0) {
        Entry& entry = entries_[slots_[slot] - 1];
        if (entry.token == token) {
            return entry;
        }
        slot = (slot + 1) & (slots_.size() - 1);
    }
    entries_.push_back({token, 0});
    slots_[slot] = static_cast<uint32_t>(entries_.size());
    return entries_.back();
}

void TokenCounts::grow() {
    constexpr size_t kSlotsMin = 64;
    slots_.assign(std::max(kSlotsMin, slots_.size() * 2), 0);
    for (uint32_t i = 0; i < entries_.size(); ++i) {
        size_t slot = first_slot(entries_[i].token, slots_.size());
        while (slots_[slot] != 0) {
            slot = (slot + 1) & (slots_.size() - 1);
        }
        slots_[slot] = i + 1;
    }
}

}  // namespace rekindle::runtime
