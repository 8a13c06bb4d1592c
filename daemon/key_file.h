// keys.json as text and back (docs/formats/keys.md), and what may stand in it. Pure.
#pragma once
#include "base/hash.h"
#include "base/result.h"
#include "base/units.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rekindle::daemon {

inline constexpr size_t kKeysMax = 4096;           // With those that were revoked or have expired.
inline constexpr size_t kTenantNameBytesMax = 63;  // Of a project or organization.
inline constexpr size_t kKeyNameBytesMax = 100;
inline constexpr std::chrono::seconds kKeyLifetimeMax = std::chrono::hours(24 * 3660);

enum class KeyRole : uint8_t {
    kUser,     // Model routes.
    kMetrics,  // /metrics alone: for a monitoring system.
    kAdmin,    // Everything.
};

std::string_view role_name(KeyRole role) noexcept;
std::optional<KeyRole> parse_role(std::string_view name) noexcept;

// What is known of a key: all but its secret.
struct KeyFacts {
    std::string id;
    KeyRole role = KeyRole::kUser;
    std::string organization;
    std::string project;
    std::string name;
    int64_t created_unix_s = 0;
    std::optional<int64_t> expires_unix_s;
    std::optional<int64_t> revoked_unix_s;
    std::optional<int64_t> last_used_unix_s;  // Since the start of this process.

    bool active_at(int64_t unix_s) const noexcept {
        return !revoked_unix_s && (!expires_unix_s || unix_s < *expires_unix_s);
    }
};

struct KeyRecord {
    KeyFacts facts;
    Sha256Digest digest{};
};

// [a-zA-Z0-9][a-zA-Z0-9._-]{0,62}: projects and organizations.
bool is_tenant_name(std::string_view name) noexcept;
// UTF-8 without control characters; may be empty.
bool is_key_name(std::string_view name) noexcept;

inline constexpr uint64_t kKeyFileBytesMax = 8 * kMiB;  // kKeysMax of the longest records fit.

std::string key_file_text(const std::vector<KeyRecord>& records);
// kUnsupported for another version, kCorrupt with the record and its member for anything else.
Result<std::vector<KeyRecord>> parse_key_file(std::string_view text);

}  // namespace rekindle::daemon
