// The deployments of this node, one JSON file each under DIR/deployments, replaced atomically and
// durably. A file that can't be read stops the start with its name rather than being skipped.
// Threading: the io thread; files are small.
#pragma once
#include "base/result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rekindle::daemon {

struct DeploymentRecord {
    std::string name;
    std::string image;              // Digest.
    std::string price_input = "0";  // Decimal, currency units per million tokens.
    std::string price_output = "0";
    std::string price_cached = "0";
    std::string currency = "USD";
    std::optional<int64_t> idle_ms;
    uint32_t context = 0;
    int64_t created_unix_s = 0;
    std::string architecture;  // Facts of the image, for listings.
    uint64_t image_bytes = 0;
    uint32_t context_max = 0;

    // Canonical manifest: what a person chose, with sorted keys; its SHA-256 is the revision.
    std::string canonical_manifest() const;
    std::string revision() const;
};

// [a-z0-9][a-z0-9._-]{0,62}; also what keeps names safe as file names.
bool is_deployment_name(std::string_view name) noexcept;

class Catalog {
public:
    static Result<Catalog> open(const std::string& folder);
    const std::vector<DeploymentRecord>& records() const noexcept { return records_; }
    // Adds or replaces.
    Result<void> put(const DeploymentRecord& record);
    Result<void> remove(const std::string& name);
    bool uses_image(std::string_view digest) const noexcept;

private:
    explicit Catalog(std::string folder) : folder_(std::move(folder)) {}

    std::string folder_;
    std::vector<DeploymentRecord> records_;
};

}  // namespace rekindle::daemon
