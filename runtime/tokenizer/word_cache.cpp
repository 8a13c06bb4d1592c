#include "runtime/tokenizer/word_cache.h"

#include <algorithm>

namespace rekindle::runtime {

void WordCache::put(Key key, std::span<const int32_t> tokens) noexcept {
    if (tokens.size() > kTokensMax) {
        return;
    }
    Entry& entry = entries_[slot_of_key(key)];
    entry.key = key;
    entry.tokens.fill(-1);
    std::copy(tokens.begin(), tokens.end(), entry.tokens.begin());
}

}  // namespace rekindle::runtime
