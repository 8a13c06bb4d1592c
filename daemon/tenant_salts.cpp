#include "daemon/tenant_salts.h"

#include "base/bytes.h"
#include "base/hash.h"

#include <cstring>
#include <string>

namespace rekindle::daemon {

std::array<uint64_t, 2> TenantSalts::of(std::string_view organization,
                                        std::string_view project) const {
    ByteWriter name;  // With lengths, so that no two tenants spell alike.
    name.write_string(std::string(organization));
    name.write_string(std::string(project));
    const Sha256Digest digest = hmac_sha256(key_, name.take());
    std::array<uint64_t, 2> salt{};
    std::memcpy(salt.data(), digest.data(), sizeof(salt));
    return salt;
}

}  // namespace rekindle::daemon
