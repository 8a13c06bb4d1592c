#include "runtime/tokenizer/unicode_class.h"

#include "base/utf8.h"

#include <array>
#include <string_view>

namespace rekindle::runtime {
namespace {

#include "runtime/tokenizer/unicode_class_table.inl"

constexpr uint32_t kBlockChars = 128;  // Code points in a block of the table.
constexpr uint32_t kWordChars = 16;    // Four bits each.

constexpr CharClass look_up(uint32_t codepoint) noexcept {
    const uint32_t block = kClassBlocks[codepoint / kBlockChars];
    const uint32_t word = block * (kBlockChars / kWordChars) + codepoint % kBlockChars / kWordChars;
    return static_cast<CharClass>((kClassWords[word] >> (codepoint % kWordChars * 4)) & 15U);
}

constexpr std::array<CharClass, 128> make_ascii() noexcept {
    std::array<CharClass, 128> classes{};
    for (uint32_t i = 0; i < 128; ++i) {
        classes[i] = look_up(i);
    }
    return classes;
}

constexpr std::array<CharClass, 128> kAscii = make_ascii();

}  // namespace

CharClass class_of(uint32_t codepoint) noexcept {
    if (codepoint < kClassTableEnd) {
        return look_up(codepoint);
    }
    // Beyond the table only the variation selectors 17 to 256 are marks; the generator checks it.
    return codepoint >= 0xE0100 && codepoint < 0xE01F0 ? CharClass::kMark : CharClass::kOther;
}

ClassifiedChar classify_front(const char* text, size_t bytes) noexcept {
    const auto first = static_cast<uint8_t>(*text);
    if (first < 0x80) {
        return {kAscii[first], 1};
    }
    const DecodedCodepoint next = decode_utf8(std::string_view(text, bytes < 4 ? bytes : 4));
    if (!next.valid) {
        return {CharClass::kOther, 1};
    }
    return {class_of(next.codepoint), next.bytes};
}

}  // namespace rekindle::runtime
