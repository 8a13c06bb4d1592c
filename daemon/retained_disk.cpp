#include "daemon/retained_disk.h"

#include "base/async/spawn.h"
#include "base/log.h"

#include <utility>

namespace rekindle::daemon {

void RetainedDisk::store(const std::string& revision, snapshot::KvFiles files) {
    auto storing = store_now(revision, std::make_shared<const snapshot::KvFiles>(std::move(files)));
    static_cast<void>(spawn(context_, "store_retained", gate_, std::move(storing)));
}

Task<> RetainedDisk::store_now(std::string revision,
                               std::shared_ptr<const snapshot::KvFiles> files) {
    const auto storing = storing_.insert(revision);
    auto work = [this, revision, files] { return disk_.save(revision, *files); };
    auto saving = offload(compute_, std::move(work));
    const auto saved = co_await std::move(saving);
    storing_.erase(storing);
    if (dropped_.contains(revision)) {
        disk_.remove(revision);
        if (!storing_.contains(revision)) {
            dropped_.erase(revision);
        }
    }
    if (!saved) {
        log_warning("retained_kv_not_stored",
                    {{"revision", revision}, {"reason", saved.error().message}});
    } else if (*saved > 0) {
        log_info("retained_kv_stored", {{"revision", revision}, {"bytes", *saved}});
    }
}

bool RetainedDisk::load(const std::string& revision, snapshot::KvFiles files, Loaded loaded) {
    if (!disk_.has(revision)) {
        return false;
    }
    auto loading = load_now(revision, std::make_shared<const snapshot::KvFiles>(std::move(files)),
                            std::move(loaded));
    return spawn(context_, "load_retained", gate_, std::move(loading));
}

Task<> RetainedDisk::load_now(std::string revision, std::shared_ptr<const snapshot::KvFiles> files,
                              Loaded loaded) {
    auto work = [this, revision, files] { return disk_.load(revision, *files); };
    auto reading = offload(compute_, std::move(work));
    const auto pages = co_await std::move(reading);
    if (!pages && pages.error().code != ErrorCode::kNotFound) {
        log_warning("retained_kv_not_read",
                    {{"revision", revision}, {"reason", pages.error().message}});
    }
    loaded(pages ? *pages : 0);
}

void RetainedDisk::drop(const std::string& revision) {
    disk_.remove(revision);
    if (storing_.contains(revision)) {
        dropped_.insert(revision);
    }
}

uint64_t RetainedDisk::garbage_bytes(const std::set<std::string>& revisions) const {
    return disk_.bytes_but(revisions);
}

void RetainedDisk::drop_all_but(const std::set<std::string>& revisions) {
    for (const std::string& name : disk_.names()) {
        if (!revisions.contains(name)) {
            drop(name);
        }
    }
}

}  // namespace rekindle::daemon
