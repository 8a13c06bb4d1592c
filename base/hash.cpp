#include "base/hash.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <xxhash.h>

#include <utility>

namespace rekindle {

struct Sha256::State {
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    State() = default;
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
    REKINDLE_CHECK(state_->context != nullptr, "out of memory for a digest");
    REKINDLE_CHECK(EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) == 1,
                   "OpenSSL has no SHA-256");
}

Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;
Sha256::~Sha256() = default;

void Sha256::update(std::span<const std::byte> bytes) {
    REKINDLE_CHECK(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1,
                   "SHA-256 update");
}

Sha256Digest Sha256::finish() {
    Sha256Digest digest{};
    unsigned int bytes = 0;
    REKINDLE_CHECK(EVP_DigestFinal_ex(state_->context,
                                      reinterpret_cast<unsigned char*>(digest.data()), &bytes) == 1,
                   "SHA-256 final");
    REKINDLE_CHECK(bytes == digest.size(), "SHA-256 has 32 bytes");
    return digest;
}

Sha256Digest sha256(std::span<const std::byte> bytes) {
    Sha256 hash;
    hash.update(bytes);
    return hash.finish();
}

Sha256Digest hmac_sha256(std::span<const std::byte> key, std::span<const std::byte> message) {
    Sha256Digest digest{};
    unsigned int bytes = 0;
    const unsigned char* result =
        HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
             reinterpret_cast<const unsigned char*>(message.data()), message.size(),
             reinterpret_cast<unsigned char*>(digest.data()), &bytes);
    REKINDLE_CHECK(result != nullptr && bytes == digest.size(), "HMAC-SHA-256");
    return digest;
}

uint64_t xxh3(std::span<const std::byte> bytes) noexcept {
    return XXH3_64bits(bytes.data(), bytes.size());
}

std::string to_hex(std::span<const std::byte> bytes) {
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string hex;
    hex.reserve(bytes.size() * 2);
    for (const std::byte byte : bytes) {
        const auto value = std::to_integer<unsigned>(byte);
        hex.push_back(kDigits[value >> 4]);
        hex.push_back(kDigits[value & 15]);
    }
    return hex;
}

namespace {

int hex_value(char digit) noexcept {
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    if (digit >= 'a' && digit <= 'f') {
        return digit - 'a' + 10;
    }
    if (digit >= 'A' && digit <= 'F') {
        return digit - 'A' + 10;
    }
    return -1;
}

}  // namespace

Result<Sha256Digest> parse_sha256(std::string_view hex) {
    Sha256Digest digest{};
    if (hex.size() != digest.size() * 2) {
        return Error{ErrorCode::kInvalidArgument, "a SHA-256 has 64 hexadecimal digits"};
    }
    for (size_t i = 0; i < digest.size(); ++i) {
        const int high = hex_value(hex[2 * i]);
        const int low = hex_value(hex[2 * i + 1]);
        if (high < 0 || low < 0) {
            return Error{ErrorCode::kInvalidArgument, "a SHA-256 has 64 hexadecimal digits"};
        }
        digest[i] = static_cast<std::byte>(high * 16 + low);
    }
    return digest;
}

bool equal_constant_time(std::span<const std::byte> a, std::span<const std::byte> b) noexcept {
    return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace rekindle
