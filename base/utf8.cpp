#include "base/utf8.h"

#include "base/check.h"

namespace rekindle {
namespace {

struct Lead {
    uint32_t bytes;       // Of the whole sequence; 0 for a byte that cannot start one.
    uint32_t bits;        // Payload of the lead byte.
    uint8_t second_low;   // Range of the second byte (RFC 3629 table), which rules out
    uint8_t second_high;  // overlong forms, surrogates and values above U+10FFFF.
};

Lead lead_of(uint8_t byte) noexcept {
    if (byte < 0x80) {
        return {1, byte, 0, 0};
    }
    if (byte >= 0xC2 && byte <= 0xDF) {
        return {2, byte & 0x1FU, 0x80, 0xBF};
    }
    if (byte >= 0xE0 && byte <= 0xEF) {
        const uint8_t low = byte == 0xE0 ? 0xA0 : 0x80;
        const uint8_t high = byte == 0xED ? 0x9F : 0xBF;
        return {3, byte & 0x0FU, low, high};
    }
    if (byte >= 0xF0 && byte <= 0xF4) {
        const uint8_t low = byte == 0xF0 ? 0x90 : 0x80;
        const uint8_t high = byte == 0xF4 ? 0x8F : 0xBF;
        return {4, byte & 0x07U, low, high};
    }
    return {0, 0, 0, 0};
}

// Number of bytes of `text` that are a valid beginning of the sequence `lead`.
uint32_t matching_bytes(std::string_view text, const Lead& lead) noexcept {
    uint32_t matched = 1;
    while (matched < lead.bytes && matched < text.size()) {
        const auto byte = static_cast<uint8_t>(text[matched]);
        const uint8_t low = matched == 1 ? lead.second_low : 0x80;
        const uint8_t high = matched == 1 ? lead.second_high : 0xBF;
        if (byte < low || byte > high) {
            break;
        }
        ++matched;
    }
    return matched;
}

}  // namespace

DecodedCodepoint decode_utf8(std::string_view text) noexcept {
    REKINDLE_CHECK(!text.empty(), "decode_utf8 of nothing");
    const Lead lead = lead_of(static_cast<uint8_t>(text[0]));
    if (lead.bytes == 0) {
        return {0xFFFD, 1, false};
    }
    const uint32_t matched = matching_bytes(text, lead);
    if (matched < lead.bytes) {
        return {0xFFFD, matched, false};
    }
    uint32_t codepoint = lead.bits;
    for (uint32_t i = 1; i < lead.bytes; ++i) {
        codepoint = (codepoint << 6) | (static_cast<uint8_t>(text[i]) & 0x3FU);
    }
    return {codepoint, lead.bytes, true};
}

bool is_valid_utf8(std::string_view text) noexcept {
    while (!text.empty()) {
        const DecodedCodepoint next = decode_utf8(text);
        if (!next.valid) {
            return false;
        }
        text.remove_prefix(next.bytes);
    }
    return true;
}

size_t complete_utf8_prefix(std::string_view text) noexcept {
    // Only the last three bytes can belong to an unfinished sequence.
    for (size_t back = 1; back <= 3 && back <= text.size(); ++back) {
        const std::string_view tail = text.substr(text.size() - back);
        const Lead lead = lead_of(static_cast<uint8_t>(tail[0]));
        if (lead.bytes > back && matching_bytes(tail, lead) == back) {
            return text.size() - back;
        }
    }
    return text.size();
}

void append_utf8(std::string& out, uint32_t codepoint) {
    const auto put = [&out](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
    if (codepoint < 0x80) {
        put(codepoint);
    } else if (codepoint < 0x800) {
        put(0xC0 | (codepoint >> 6));
        put(0x80 | (codepoint & 0x3F));
    } else if (codepoint < 0x10000) {
        put(0xE0 | (codepoint >> 12));
        put(0x80 | ((codepoint >> 6) & 0x3F));
        put(0x80 | (codepoint & 0x3F));
    } else {
        put(0xF0 | (codepoint >> 18));
        put(0x80 | ((codepoint >> 12) & 0x3F));
        put(0x80 | ((codepoint >> 6) & 0x3F));
        put(0x80 | (codepoint & 0x3F));
    }
}

std::string sanitize_utf8(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    while (!text.empty()) {
        const DecodedCodepoint next = decode_utf8(text);
        append_utf8(out, next.codepoint);
        text.remove_prefix(next.bytes);
    }
    return out;
}

}  // namespace rekindle
