// Finds control and user-defined tokens written out in a text: the leftmost, and of those that
// begin at one place the longest. A candidate costs at most kSpecialBytesMax steps, so the whole is
// linear. Threading: immutable. Lifetime: points into the table.
#pragma once
#include "runtime/tokenizer/table.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace rekindle::runtime {

class SpecialTokens {
public:
    struct Match {
        size_t position;  // text.size() when nothing was found.
        uint32_t token;
    };

    explicit SpecialTokens(const TableView& table) noexcept;

    // First match at or after `from`; without `control` only user-defined tokens count.
    Match find(std::string_view text, size_t from, bool control) const noexcept;

private:
    // The longest token that `text` begins with, or -1.
    int64_t longest_at(std::string_view text, bool control) const noexcept;

    const TableView* table_;
    // For each first byte whether a token of the kind begins with it: bit 0 user-defined, bit 1
    // any.
    std::array<uint8_t, 256> first_bytes_{};
    bool any_ = false;
    bool any_user_defined_ = false;
};

}  // namespace rekindle::runtime
