#include "scheduler/batch/ngram_index.h"

#include <algorithm>
#include <bit>

namespace rekindle::scheduler {
namespace {

using runtime::TokenId;

constexpr size_t kSlotsMin = 256;

// Tokens before `end` that are the same as those at the end of the text.
uint32_t length_alike(std::span<const TokenId> tokens, uint32_t end) noexcept {
    const uint32_t most = std::min(end, NgramIndex::kMatchMax);
    uint32_t length = 0;
    while (length < most && tokens[end - 1 - length] == tokens[tokens.size() - 1 - length]) {
        ++length;
    }
    return length;
}

}  // namespace

size_t NgramIndex::slot_of(std::span<const TokenId> gram) const noexcept {
    constexpr uint64_t kOdd = 0x9E3779B97F4A7C15ULL;  // 2^64 over the golden ratio.
    uint64_t hash = 0;
    for (const TokenId token : gram) {
        hash = (hash ^ static_cast<uint32_t>(token)) * kOdd;
        hash ^= hash >> 32U;
    }
    return static_cast<size_t>(hash) & (next_[0].size() - 1);
}

void NgramIndex::extend(std::span<const TokenId> tokens) {
    const size_t wanted =
        std::clamp<size_t>(std::bit_ceil(2 * tokens.size()), kSlotsMin, kSlotsMax);
    if (wanted > next_[0].size()) {
        for (auto& slots : next_) {
            slots.assign(wanted, 0);
        }
        seen_ = 0;
    }
    const auto count = static_cast<uint32_t>(tokens.size());
    // A gram is known once something follows it.
    for (uint32_t next = std::max(seen_, 1U); next < count; ++next) {
        for (size_t i = 0; i < kOrders.size(); ++i) {
            if (next >= kOrders[i]) {
                next_[i][slot_of(tokens.subspan(next - kOrders[i], kOrders[i]))] = next;
            }
        }
    }
    seen_ = count;
}

NgramIndex::Match NgramIndex::find(std::span<const TokenId> tokens) const {
    for (size_t i = 0; i < kOrders.size() && !next_[i].empty(); ++i) {
        if (tokens.size() < kOrders[i]) {
            continue;
        }
        const uint32_t next = next_[i][slot_of(tokens.last(kOrders[i]))];
        const uint32_t length = next == 0 ? 0 : length_alike(tokens, next);
        if (length >= kOrders[i]) {
            return {.next = next, .length = length};
        }
    }
    return {};
}

void guess_from(const NgramIndex::Match& match, std::span<const TokenId> tokens, uint32_t count,
                std::vector<TokenId>& out) {
    const size_t first = out.size();
    for (uint32_t i = 0; i < count && match.length > 0; ++i) {
        const size_t from = match.next + i;
        out.push_back(from < tokens.size() ? tokens[from] : out[first + from - tokens.size()]);
    }
}

}  // namespace rekindle::scheduler
