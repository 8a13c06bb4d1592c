#include "runtime/template/text.h"

#include "base/utf8.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <span>

namespace rekindle::runtime::jinja {
namespace {

#include "runtime/template/case_table.inl"

// The range that holds `codepoint`, whose members are every `step` from `first`.
int32_t delta_of(std::span<const CaseRange> ranges, uint32_t codepoint) noexcept {
    const auto after = std::upper_bound(
        ranges.begin(), ranges.end(), codepoint,
        [](uint32_t value, const CaseRange& range) { return value < range.first; });
    if (after == ranges.begin()) {
        return 0;
    }
    const CaseRange& range = *(after - 1);
    return codepoint <= range.last && (codepoint - range.first) % range.step == 0 ? range.delta : 0;
}

size_t trailing_character_bytes(std::string_view text) noexcept {
    size_t bytes = 1;
    while (bytes < 4 && bytes < text.size() &&
           (static_cast<uint8_t>(text[text.size() - bytes]) & 0xC0U) == 0x80) {
        ++bytes;
    }
    return bytes;
}

// Not printed by repr: controls, separators and format characters that occur in practice.
bool is_unprintable(uint32_t c) noexcept {
    return c < 0x20 || (c >= 0x7F && c <= 0xA0) || c == 0xAD || (c >= 0x200B && c <= 0x200F) ||
           (c >= 0x2028 && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF ||
           (c >= 0xE000 && c <= 0xF8FF) || (c != 0x20 && is_python_space(c)) || c >= 0xE0000;
}

void append_hex(std::string& out, uint32_t value, int digits) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    for (int shift = (digits - 1) * 4; shift >= 0; shift -= 4) {
        out.push_back(kDigits[(value >> shift) & 15U]);
    }
}

}  // namespace

bool is_python_space(uint32_t c) noexcept {
    return c == 0x20 || (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x1F) || c == 0x85 ||
           c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
           c == 0x202F || c == 0x205F || c == 0x3000;
}

size_t leading_space_bytes(std::string_view text) noexcept {
    size_t at = 0;
    while (at < text.size()) {
        const DecodedCodepoint next = decode_utf8(text.substr(at));
        if (!is_python_space(next.codepoint)) {
            break;
        }
        at += next.bytes;
    }
    return at;
}

std::string_view trim_left(std::string_view text) noexcept {
    return text.substr(leading_space_bytes(text));
}

std::string_view trim_right(std::string_view text) noexcept {
    while (!text.empty()) {
        const size_t bytes = trailing_character_bytes(text);
        if (!is_python_space(decode_utf8(text.substr(text.size() - bytes)).codepoint)) {
            break;
        }
        text.remove_suffix(bytes);
    }
    return text;
}

std::string_view trim_left_of(std::string_view text, std::string_view characters) noexcept {
    while (!text.empty()) {
        const size_t bytes = first_character_bytes(text);
        if (characters.find(text.substr(0, bytes)) == std::string_view::npos) {
            break;
        }
        text.remove_prefix(bytes);
    }
    return text;
}

std::string_view trim_right_of(std::string_view text, std::string_view characters) noexcept {
    while (!text.empty()) {
        const size_t bytes = trailing_character_bytes(text);
        if (characters.find(text.substr(text.size() - bytes)) == std::string_view::npos) {
            break;
        }
        text.remove_suffix(bytes);
    }
    return text;
}

std::optional<uint32_t> parse_hex(std::string_view text, size_t digits) noexcept {
    uint32_t value = 0;
    if (text.size() != digits || digits == 0) {
        return std::nullopt;
    }
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value, 16);
    const bool whole = parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
    const bool scalar = value <= 0x10FFFF && (value < 0xD800 || value > 0xDFFF);
    return whole && scalar ? std::optional(value) : std::nullopt;
}

size_t count_codepoints(std::string_view text) noexcept {
    size_t count = 0;
    for (const char c : text) {
        count += (static_cast<uint8_t>(c) & 0xC0U) != 0x80 ? 1U : 0U;
    }
    return count;
}

size_t codepoint_offset(std::string_view text, size_t index) noexcept {
    size_t at = 0;
    for (; at < text.size(); ++at) {
        if ((static_cast<uint8_t>(text[at]) & 0xC0U) != 0x80 && index-- == 0) {
            break;
        }
    }
    return at;
}

size_t first_character_bytes(std::string_view text) noexcept {
    return decode_utf8(text).bytes;
}

uint32_t to_upper(uint32_t codepoint) noexcept {
    return static_cast<uint32_t>(static_cast<int32_t>(codepoint) + delta_of(kToUpper, codepoint));
}

void append_upper(std::string& out, uint32_t codepoint) {
    const auto* const end = std::end(kUpperExpansions);
    const auto* const found = std::lower_bound(
        std::begin(kUpperExpansions), end, codepoint,
        [](const CaseExpansion& expansion, uint32_t value) { return expansion.from < value; });
    if (found == end || found->from != codepoint) {
        append_utf8(out, to_upper(codepoint));
        return;
    }
    for (const uint32_t c : found->to) {
        if (c != 0) {
            append_utf8(out, c);
        }
    }
}

uint32_t to_lower(uint32_t codepoint) noexcept {
    return static_cast<uint32_t>(static_cast<int32_t>(codepoint) + delta_of(kToLower, codepoint));
}

bool is_cased(uint32_t codepoint) noexcept {
    return delta_of(kToUpper, codepoint) != 0 || delta_of(kToLower, codepoint) != 0;
}

void append_repr(std::string& out, std::string_view text) {
    const bool double_quotes =
        text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos;
    const char quote = double_quotes ? '"' : '\'';
    out.push_back(quote);
    while (!text.empty()) {
        const DecodedCodepoint next = decode_utf8(text);
        const uint32_t c = next.codepoint;
        if (c == static_cast<uint8_t>(quote) || c == '\\') {
            out.push_back('\\');
            out.push_back(static_cast<char>(c));
        } else if (c == '\n' || c == '\r' || c == '\t') {
            out += c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t";
        } else if (is_unprintable(c)) {
            const int digits = c < 0x100 ? 2 : c < 0x10000 ? 4 : 8;
            out += digits == 2 ? "\\x" : digits == 4 ? "\\u" : "\\U";
            append_hex(out, c, digits);
        } else {
            out += text.substr(0, next.bytes);
        }
        text.remove_prefix(next.bytes);
    }
    out.push_back(quote);
}

void append_double(std::string& out, double value) {
    if (std::isnan(value) || std::isinf(value)) {
        out += std::isnan(value) ? "nan" : value < 0 ? "-inf" : "inf";
        return;
    }
    // Python writes exponents below -4 and from 16 on.
    const double size = std::fabs(value);
    const bool scientific = value != 0 && (size < 1e-4 || size >= 1e16);
    std::array<char, 64> buffer{};
    const auto written =
        std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                      scientific ? std::chars_format::scientific : std::chars_format::fixed);
    const std::string_view text(buffer.data(), static_cast<size_t>(written.ptr - buffer.data()));
    out += text;
    if (!scientific && text.find('.') == std::string_view::npos) {
        out += ".0";
    }
}

}  // namespace rekindle::runtime::jinja
