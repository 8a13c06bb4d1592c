#include "daemon/tenant_salts.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "base/log.h"
#include "daemon/data_folder.h"

#include <cstring>
#include <string>

namespace rekindle::daemon {

TenantSalts TenantSalts::kept_in(const std::string& path, Entropy& entropy) {
    TenantSalts salts(entropy);
    constexpr uint64_t kHexBytes = 64;
    if (const auto text = read_small_file(path, kHexBytes)) {
        if (const auto key = parse_sha256(*text)) {
            salts.key_ = *key;
            return salts;
        }
    }
    const auto written = write_file_durably(path, to_hex(salts.key_));
    if (!written) {
        log_warning("salts_not_kept",
                    {{"reason", written.error().message},
                     {"effect", "keys and values retained on disk are of no use after a restart"}});
    }
    return salts;
}

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
