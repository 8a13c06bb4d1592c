// What the node tells of its deployments' revisions, and the aliases that are set by hand.
#include "daemon/node_impl.h"

#include <fmt/format.h>

#include <utility>

namespace rekindle::daemon {
namespace {

RevisionInfo revision_info(const DeploymentRecord& record) {
    return {.revision = record.revision,
            .image = record.image,
            .source = record.source,
            .image_bytes = record.image_bytes,
            .context = record.context_max,
            .created_unix_s = record.created_unix_s,
            .manifest = record.manifest.fields};
}

}  // namespace

Task<Result<DeploymentDetails>> NodeImpl::describe(std::string name) {
    const DeploymentEntry* entry = catalog_.find(catalog_.resolve(name));
    if (entry == nullptr) {
        co_return Error{ErrorCode::kNotFound,
                        fmt::format("no model named \"{}\" is deployed", name)};
    }
    DeploymentDetails details{.info = info_of(*instances_.at(entry->current.name)),
                              .current = revision_info(entry->current),
                              .history = {},
                              .tensors = 0};
    for (const DeploymentRecord& record : entry->history) {
        details.history.push_back(revision_info(record));
    }
    const auto facts = co_await facts_of_image(details.current.image);
    if (!facts) {
        co_return facts.error();
    }
    details.tensors = facts->tensors;
    co_return details;
}

std::vector<AliasInfo> NodeImpl::aliases() const {
    std::vector<AliasInfo> all;
    for (AliasEntry& entry : catalog_.aliases()) {
        all.push_back({.alias = std::move(entry.alias),
                       .name = std::move(entry.name),
                       .by_manifest = entry.by_manifest});
    }
    return all;
}

Result<void> NodeImpl::set_alias(const std::string& alias, const std::string& name) {
    auto set = catalog_.set_alias(alias, name);
    renew_rules();
    return set;
}

Result<void> NodeImpl::remove_alias(const std::string& alias) {
    auto removed = catalog_.remove_alias(alias);
    renew_rules();
    return removed;
}

}  // namespace rekindle::daemon
