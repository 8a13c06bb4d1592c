// API keys as text: "rekindle_", an id of 10 characters, "_", a secret of 52 and a checksum of 6,
// all in lower-case base32 (RFC 4648 without padding). The id is public; the prefix and the
// checksum let a secret scanner tell a key that leaked from noise. Invariant: exactly one text for
// a key. Threading: none. Pure.
#pragma once
#include "base/hash.h"
#include "base/random.h"
#include "base/result.h"

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace rekindle::daemon {

inline constexpr std::string_view kKeyPrefix = "rekindle_";
inline constexpr size_t kKeyIdChars = 10;       // 50 bits.
inline constexpr size_t kKeySecretChars = 52;   // 256 bits.
inline constexpr size_t kKeyChecksumChars = 6;  // 30 bits of the SHA-256 of all before.
inline constexpr size_t kKeyChars =
    kKeyPrefix.size() + kKeyIdChars + 1 + kKeySecretChars + kKeyChecksumChars;

struct ApiKey {
    std::string id;
    std::array<std::byte, 32> secret{};
};

ApiKey make_key(Entropy& entropy);
std::string format_key(const ApiKey& key);
// kUnauthorized for anything that format_key() does not write. No error repeats the text.
Result<ApiKey> parse_key(std::string_view text);

// kKeyIdChars of base32's alphabet.
bool is_key_id(std::string_view text) noexcept;

// "Bearer <token>" of an Authorization field, the scheme in any case; nothing for another scheme or
// form.
std::optional<std::string_view> bearer_token(std::string_view authorization) noexcept;

}  // namespace rekindle::daemon
