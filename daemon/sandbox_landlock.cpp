#include "daemon/sandbox_landlock.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <sys/syscall.h>
#include <unistd.h>

namespace rekindle::daemon {

namespace {

// linux/landlock.h as of ABI 6; an older kernel reads only the front of it.
struct RulesetAttributes {
    uint64_t handled_access_fs = 0;
    uint64_t handled_access_net = 0;
    uint64_t scoped = 0;
};

constexpr uint64_t low_bits(unsigned count) noexcept {
    return (uint64_t{1} << count) - 1;
}

struct AbiRights {
    RulesetAttributes attributes;
    size_t bytes;  // Of the attributes that this ABI knows.
};

// What each ABI can take away: 13 file rights, then REFER, TRUNCATE, TCP bind and connect,
// IOCTL_DEV, then abstract sockets and signals.
constexpr std::array<AbiRights, 6> kRights = {{
    {{low_bits(13), 0, 0}, 8},
    {{low_bits(14), 0, 0}, 8},
    {{low_bits(15), 0, 0}, 8},
    {{low_bits(15), low_bits(2), 0}, 16},
    {{low_bits(16), low_bits(2), 0}, 16},
    {{low_bits(16), low_bits(2), low_bits(2)}, 24},
}};

}  // namespace

bool enter_landlock() noexcept {
    constexpr unsigned kVersionQuery = 1;  // LANDLOCK_CREATE_RULESET_VERSION
    const long abi = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, kVersionQuery);
    if (abi < 1) {
        return false;
    }
    const size_t known =
        static_cast<size_t>(abi) < kRights.size() ? static_cast<size_t>(abi) : kRights.size();
    const AbiRights& rights = kRights[known - 1];
    const long ruleset =
        ::syscall(SYS_landlock_create_ruleset, &rights.attributes, rights.bytes, 0);
    if (ruleset < 0) {
        return false;
    }
    const bool entered = ::syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
    ::close(static_cast<int>(ruleset));
    return entered;
}

}  // namespace rekindle::daemon
