// Keys and values of models at zero on disk: opened with the node, written when it stops.
#include "base/log.h"
#include "daemon/node_impl.h"

#include <utility>

namespace rekindle::daemon {

std::set<std::string> NodeImpl::revisions() const {
    std::set<std::string> revisions;
    for (const DeploymentEntry& entry : catalog_.entries()) {
        revisions.insert(entry.current.revision);
    }
    return revisions;
}

// A node serves without them: what can't be opened is said and left alone.
void NodeImpl::open_retained() {
    const uint64_t bytes = config_.retained_kv_disk_bytes.value_or(0);
    const std::string folder = services_.folder.at("retained");
    if (bytes == 0) {
        return;
    }
    auto disk = snapshot::KvDisk::open(folder, bytes);
    if (!disk) {
        log_warning("retained_kv_stays_in_memory", {{"reason", disk.error().message}});
        return;
    }
    retained_disk_ =
        std::make_unique<RetainedDisk>(services_.context, gate_, compute_, std::move(disk).value());
    retained_disk_->drop_all_but(revisions());
}

Task<> NodeImpl::store_retained(std::shared_ptr<ModelInstance> instance) {
    auto kept = instance->take_retained();
    if (kept && retained_disk_ != nullptr) {
        auto files = std::make_shared<const snapshot::KvFiles>(std::move(*kept));
        auto storing = retained_disk_->store_now(instance->revision(), std::move(files));
        co_await std::move(storing);
    }
}

}  // namespace rekindle::daemon
