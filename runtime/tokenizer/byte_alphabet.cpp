#include "runtime/tokenizer/byte_alphabet.h"

#include "base/utf8.h"

#include <array>
#include <cstdint>

namespace rekindle::runtime {
namespace {

constexpr bool prints_as_itself(uint32_t byte) noexcept {
    return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr uint32_t kAlphabetEnd = 0x144;  // 256 + the 68 bytes that do not print.

// Code point -> byte, or -1.
constexpr std::array<int16_t, kAlphabetEnd> make_alphabet() noexcept {
    std::array<int16_t, kAlphabetEnd> bytes{};
    bytes.fill(-1);
    uint32_t next = 0x100;
    for (uint32_t byte = 0; byte < 256; ++byte) {
        bytes[prints_as_itself(byte) ? byte : next++] = static_cast<int16_t>(byte);
    }
    return bytes;
}

constexpr auto kAlphabet = make_alphabet();

}  // namespace

std::optional<std::string> bytes_of_printed(std::string_view printed) {
    std::string bytes;
    while (!printed.empty()) {
        const DecodedCodepoint next = decode_utf8(printed);
        if (!next.valid || next.codepoint >= kAlphabetEnd || kAlphabet[next.codepoint] < 0) {
            return std::nullopt;
        }
        bytes.push_back(static_cast<char>(kAlphabet[next.codepoint]));
        printed.remove_prefix(next.bytes);
    }
    return bytes;
}

}  // namespace rekindle::runtime
