// The salt under which a tenant's prompts share cached prefixes: requests of one project may go on
// from each other's texts, and nobody can find out by timing what another project asked.
// Invariant: a worker learns salts, never the key that makes them. They last as long as the daemon,
// or as the file that the key is kept in, beside keys and values that are retained on disk.
// Threading: immutable.
#pragma once
#include "base/random.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace rekindle::daemon {

class TenantSalts {
public:
    explicit TenantSalts(Entropy& entropy) { entropy.fill(key_); }

    // The key of the file at `path`, which is made (mode 0600) where it is missing; an unreadable
    // one is replaced.
    static TenantSalts kept_in(const std::string& path, Entropy& entropy);

    std::array<uint64_t, 2> of(std::string_view organization, std::string_view project) const;

private:
    std::array<std::byte, 32> key_{};
};

}  // namespace rekindle::daemon
