// UTF-8 as RFC 3629 defines it: no surrogates, no overlong forms, nothing above U+10FFFF.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace rekindle {

bool is_valid_utf8(std::string_view text) noexcept;

// Bytes at the front of `text` that form whole, valid or surely invalid sequences: the rest (at
// most 3 bytes) is the beginning of a sequence that more bytes may complete.
size_t complete_utf8_prefix(std::string_view text) noexcept;

// Replaces each maximal invalid part by U+FFFD, as the WHATWG decoder does.
std::string sanitize_utf8(std::string_view text);

struct DecodedCodepoint {
    uint32_t codepoint;  // U+FFFD when invalid.
    uint32_t bytes;      // Consumed, >= 1.
    bool valid;
};

// First code point of a non-empty text.
DecodedCodepoint decode_utf8(std::string_view text) noexcept;
void append_utf8(std::string& out, uint32_t codepoint);

}  // namespace rekindle
