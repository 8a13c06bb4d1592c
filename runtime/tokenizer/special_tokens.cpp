#include "runtime/tokenizer/special_tokens.h"

#include <algorithm>

namespace rekindle::runtime {

SpecialTokens::SpecialTokens(const TableView& table) noexcept : table_(&table) {
    for (const uint32_t token : table.specials) {
        const bool user_defined = (table.token_flags[token] & kTokenUserDefined) != 0;
        const auto first = static_cast<uint8_t>(table.bytes_of(token)[0]);
        first_bytes_[first] |= static_cast<uint8_t>(user_defined ? 3 : 2);
        any_ = true;
        any_user_defined_ = any_user_defined_ || user_defined;
    }
}

SpecialTokens::Match SpecialTokens::find(std::string_view text, size_t from,
                                         bool control) const noexcept {
    if (!(control ? any_ : any_user_defined_)) {
        return {text.size(), 0};
    }
    const uint8_t wanted = control ? 2 : 1;
    for (size_t at = from; at < text.size(); ++at) {
        if ((first_bytes_[static_cast<uint8_t>(text[at])] & wanted) == 0) {
            continue;
        }
        const int64_t token = longest_at(text.substr(at), control);
        if (token >= 0) {
            return {at, static_cast<uint32_t>(token)};
        }
    }
    return {text.size(), 0};
}

int64_t SpecialTokens::longest_at(std::string_view text, bool control) const noexcept {
    int64_t longest = -1;
    // [begin, end): the sorted tokens that agree with the text so far, narrowed byte by byte.
    auto begin = table_->specials.begin();
    auto end = table_->specials.end();
    for (size_t depth = 0; begin != end; ++depth) {
        for (; begin != end && table_->bytes_of(*begin).size() == depth; ++begin) {
            if (control || (table_->token_flags[*begin] & kTokenUserDefined) != 0) {
                longest = *begin;
            }
        }
        if (depth >= text.size()) {
            break;
        }
        const auto byte_at = [this, depth](uint32_t token) noexcept {
            const std::string_view bytes = table_->bytes_of(token);
            return depth < bytes.size() ? static_cast<int>(static_cast<uint8_t>(bytes[depth])) : -1;
        };
        const int wanted = static_cast<uint8_t>(text[depth]);
        begin = std::partition_point(begin, end,
                                     [&](uint32_t token) { return byte_at(token) < wanted; });
        end = std::partition_point(begin, end,
                                   [&](uint32_t token) { return byte_at(token) == wanted; });
    }
    return longest;
}

}  // namespace rekindle::runtime
