#include "daemon/key_text.h"

#include "base/check.h"

#include <algorithm>
#include <cstdint>
#include <span>

namespace rekindle::daemon {
namespace {

constexpr std::string_view kAlphabet = "abcdefghijklmnopqrstuvwxyz234567";
constexpr uint32_t kBitsPerChar = 5;
constexpr uint32_t kCharMask = (1U << kBitsPerChar) - 1;
constexpr uint32_t kBitsPerByte = 8;

std::optional<uint32_t> char_value(char c) noexcept {
    if (c >= 'a' && c <= 'z') {
        return static_cast<uint32_t>(c - 'a');
    }
    if (c >= '2' && c <= '7') {
        return static_cast<uint32_t>(c - '2') + 26;
    }
    return std::nullopt;
}

// As many characters as the bytes fill; what is missing to the last one is zero bits.
std::string to_base32(std::span<const std::byte> bytes) {
    std::string text;
    uint32_t held = 0;
    uint32_t bits = 0;
    for (const std::byte byte : bytes) {
        held = (held << kBitsPerByte) | std::to_integer<uint32_t>(byte);
        bits += kBitsPerByte;
        while (bits >= kBitsPerChar) {
            bits -= kBitsPerChar;
            text += kAlphabet[(held >> bits) & kCharMask];
        }
        held &= (1U << bits) - 1;
    }
    if (bits > 0) {
        text += kAlphabet[(held << (kBitsPerChar - bits)) & kCharMask];
    }
    return text;
}

// False when a character is foreign or a spare bit is set, so that no two texts mean one value.
bool from_base32(std::string_view text, std::span<std::byte> out) noexcept {
    uint32_t held = 0;
    uint32_t bits = 0;
    size_t filled = 0;
    for (const char c : text) {
        const auto value = char_value(c);
        if (!value) {
            return false;
        }
        held = (held << kBitsPerChar) | *value;
        bits += kBitsPerChar;
        if (bits >= kBitsPerByte) {
            bits -= kBitsPerByte;
            if (filled == out.size()) {
                return false;
            }
            out[filled++] = static_cast<std::byte>((held >> bits) & 0xffU);
            held &= (1U << bits) - 1;
        }
    }
    return filled == out.size() && bits < kBitsPerChar && held == 0;
}

std::string checksum_of(std::string_view text) {
    const Sha256Digest digest = sha256(as_bytes(text));
    return to_base32(digest).substr(0, kKeyChecksumChars);
}

Error malformed() {
    return Error{ErrorCode::kUnauthorized,
                 "Incorrect API key provided: a key of this node begins with \"rekindle_\" and was "
                 "shown once, when `rekindle keys create` made it."};
}

}  // namespace

ApiKey make_key(Entropy& entropy) {
    ApiKey key;
    std::array<std::byte, kKeyIdChars> random{};
    entropy.fill(random);
    for (const std::byte byte : random) {
        key.id += kAlphabet[std::to_integer<uint32_t>(byte) & kCharMask];
    }
    entropy.fill(key.secret);
    return key;
}

std::string format_key(const ApiKey& key) {
    REKINDLE_CHECK(is_key_id(key.id), "a key has an id");
    std::string text(kKeyPrefix);
    text += key.id;
    text += '_';
    text += to_base32(key.secret);
    text += checksum_of(text);
    return text;
}

Result<ApiKey> parse_key(std::string_view text) {
    if (text.size() != kKeyChars || !text.starts_with(kKeyPrefix)) {
        return malformed();
    }
    const std::string_view checked = text.substr(0, kKeyChars - kKeyChecksumChars);
    const std::string_view id = checked.substr(kKeyPrefix.size(), kKeyIdChars);
    const std::string_view rest = checked.substr(kKeyPrefix.size() + kKeyIdChars);
    ApiKey key{.id = std::string(id)};
    if (!is_key_id(id) || rest.front() != '_' || !from_base32(rest.substr(1), key.secret) ||
        text.substr(checked.size()) != checksum_of(checked)) {
        return malformed();
    }
    return key;
}

bool is_key_id(std::string_view text) noexcept {
    return text.size() == kKeyIdChars &&
           std::all_of(text.begin(), text.end(), [](char c) { return char_value(c).has_value(); });
}

std::optional<std::string_view> bearer_token(std::string_view authorization) noexcept {
    constexpr std::string_view kScheme = "bearer";
    if (authorization.size() <= kScheme.size() || authorization[kScheme.size()] != ' ') {
        return std::nullopt;
    }
    const bool bearer =
        std::equal(kScheme.begin(), kScheme.end(), authorization.begin(),
                   [](char wanted, char c) { return c == wanted || c == wanted - 'a' + 'A'; });
    std::string_view token = authorization.substr(kScheme.size());
    token.remove_prefix(std::min(token.find_first_not_of(' '), token.size()));
    if (!bearer || token.empty() || token.find(' ') != std::string_view::npos) {
        return std::nullopt;
    }
    return token;
}

}  // namespace rekindle::daemon
