// The deployments of this node with the revisions before the current one, one JSON file for each
// name under DIR/deployments, and the aliases that were set by hand (docs/formats/catalog.md).
// Files are replaced atomically and durably; one that can't be read stops the start with its name
// rather than being skipped.
// Invariants: a name is one deployment's or one alias's, never both; every image that a current or
// an earlier revision names is in use.
// Threading: the io thread; files are small.
#pragma once
#include "base/result.h"
#include "daemon/api/manifest.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rekindle::daemon {

using api::is_deployment_name;

inline constexpr size_t kHistoryMax = 5;         // Earlier revisions of one name.
inline constexpr size_t kHandAliasesMax = 1024;  // Of a node.

// Of the image that runtime.draft names.
struct DraftFacts {
    uint64_t image_bytes = 0;
    uint32_t kv_permille = 0;  // Of the KV memory: so both models have as many pages.
};

// One revision of a deployment.
struct DeploymentRecord {
    std::string name;
    api::Manifest manifest;  // Its model is the image.
    std::string revision;
    std::string image;   // Digest.
    std::string source;  // What the manifest called the model; for people.
    int64_t created_unix_s = 0;
    std::string architecture;  // Facts of the image, for listings.
    uint64_t image_bytes = 0;
    uint32_t context_max = 0;
    DraftFacts draft;

    // As model or as draft.
    bool names_image(std::string_view digest) const noexcept {
        return image == digest || manifest.draft_image() == digest;
    }
};

// The record of `manifest` with `image` as its model; facts of the image are left to the caller.
Result<DeploymentRecord> make_record(const api::Manifest& manifest, const std::string& image);

struct DeploymentEntry {
    DeploymentRecord current;
    std::vector<DeploymentRecord> history;  // The latest replaced first; at most kHistoryMax.
};

struct AliasEntry {
    std::string alias;
    std::string name;
    bool by_manifest = false;
};

class Catalog {
public:
    static Result<Catalog> open(const std::string& folder);

    // By name.
    const std::vector<DeploymentEntry>& entries() const noexcept { return entries_; }

    const DeploymentEntry* find(std::string_view name) const noexcept;
    // The deployment that `model` names, by its name or an alias; empty when there is none.
    std::string_view resolve(std::string_view model) const noexcept;
    // kConflict when the record's name or one of its aliases is taken.
    Result<void> check_names(const DeploymentRecord& record) const;
    // Makes `record` the current revision of its name; the one it replaces goes into the history.
    Result<void> put(const DeploymentRecord& record);
    Result<void> remove(const std::string& name);
    bool uses_image(std::string_view digest) const noexcept;

    // In order of the aliases.
    std::vector<AliasEntry> aliases() const;
    // By hand. kNotFound for a name that is not deployed, kConflict for an alias that is taken.
    Result<void> set_alias(const std::string& alias, const std::string& name);
    // kNotFound; kConflict for an alias of a manifest.
    Result<void> remove_alias(const std::string& alias);

private:
    explicit Catalog(std::string folder) : folder_(std::move(folder)) {}

    std::string_view owner_by_manifest(std::string_view alias) const noexcept;
    Result<void> write_aliases(std::map<std::string, std::string, std::less<>> aliases);

    std::string folder_;
    std::vector<DeploymentEntry> entries_;
    std::map<std::string, std::string, std::less<>> hand_aliases_;
};

}  // namespace rekindle::daemon
