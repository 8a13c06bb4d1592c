// The ids of short pieces that were met lately: most of a text is a few thousand words, and one
// cache line answers for each. What a piece becomes depends on its bytes alone, so the cache
// changes speed and never ids. Bounded: kSlots entries, a newer piece takes an older one's place.
// Threading: one thread at a time. Holds ids of one tokenizer.
#pragma once
#include "runtime/tokenizer/table.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace rekindle::runtime {

class WordCache {
public:
    static constexpr size_t kWordBytesMax = 15;
    static constexpr size_t kTokensMax = 4;
    static constexpr size_t kSlots = 4096;  // 128 KiB: fits a second-level cache.

    struct Key {
        uint64_t low;
        uint64_t high;  // The last byte is the length, so that no key of a piece is zero.
    };

    // 1 to kWordBytesMax bytes.
    static Key key_of(std::string_view word) noexcept {
        const uint64_t length = uint64_t{word.size()} << 56;
        if (word.size() <= 8) {
            return {load_short(word.data(), word.size()), length};
        }
        return {load_short(word.data(), 8), load_short(word.data() + 8, word.size() - 8) | length};
    }

    WordCache() : entries_(kSlots) {}

    // Appends the ids of the word; false when it is not here.
    bool find(Key key, std::vector<int32_t>& out) const {
        const Entry& entry = entries_.data()[slot_of_key(key)];
        if (entry.key.low != key.low || entry.key.high != key.high) {
            return false;
        }
        for (size_t i = 0; i < kTokensMax && entry.tokens.data()[i] >= 0; ++i) {
            out.push_back(entry.tokens.data()[i]);
        }
        return true;
    }

    // Words of more than kTokensMax ids are not kept.
    void put(Key key, std::span<const int32_t> tokens) noexcept;

private:
    struct alignas(32) Entry {
        Key key{};
        std::array<int32_t, kTokensMax> tokens{};  // The rest is -1.
    };

    static size_t slot_of_key(Key key) noexcept {
        return slot_of(mix_hash(key.low ^ mix_hash(key.high)), kSlots);
    }

    std::vector<Entry> entries_;
};

}  // namespace rekindle::runtime
