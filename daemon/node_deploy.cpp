// Deploying, rolling back and undeploying: the part of the node that changes the catalog.
#include "base/async/spawn.h"
#include "base/decimal.h"
#include "base/log.h"
#include "base/units.h"
#include "daemon/node_impl.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

namespace rekindle::daemon {
namespace {

void insert_images(const DeploymentRecord& record, std::set<std::string>& images) {
    images.insert(record.image);
    if (!record.manifest.draft.empty()) {
        images.insert(std::string(record.manifest.draft_image()));
    }
}

std::vector<std::string> images_of(const DeploymentEntry* entry) {
    std::set<std::string> images;
    if (entry != nullptr) {
        insert_images(entry->current, images);
        for (const DeploymentRecord& record : entry->history) {
            insert_images(record, images);
        }
    }
    return {images.begin(), images.end()};
}

Result<DeploymentRecord> earlier_revision(const DeploymentEntry& entry,
                                          const std::string& revision) {
    const std::string& name = entry.current.name;
    if (entry.history.empty()) {
        return Error{ErrorCode::kConflict,
                     fmt::format("{} has no earlier revision to go back to", name)};
    }
    if (revision.empty()) {
        return entry.history.front();
    }
    if (entry.current.revision.starts_with(revision)) {
        return Error{ErrorCode::kConflict,
                     fmt::format("{} is the current revision of {}", revision, name)};
    }
    const auto matches = [&revision](const DeploymentRecord& record) {
        return record.revision.starts_with(revision);
    };
    const auto count = std::count_if(entry.history.begin(), entry.history.end(), matches);
    if (count != 1) {
        return Error{count == 0 ? ErrorCode::kNotFound : ErrorCode::kConflict,
                     fmt::format("{} revisions of {} begin with {}: `rekindle describe {}` lists "
                                 "them",
                                 count == 0 ? "no" : std::to_string(count), name, revision, name)};
    }
    return *std::find_if(entry.history.begin(), entry.history.end(), matches);
}

// A worker's count of cached tokens can't be checked: so that it never makes a bill higher.
Result<void> check_prices(const api::Manifest& manifest) {
    const auto input = parse_price_per_million(manifest.price_input);
    const auto cached = parse_price_per_million(manifest.price_cached);
    if (input && cached && *cached > *input) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("price.per_mtok.cached: {} is more than the {} of other prompt "
                                 "tokens: lower it, or leave it out",
                                 manifest.price_cached, manifest.price_input)};
    }
    return {};
}

}  // namespace

uint64_t NodeImpl::kv_bytes_of(const api::Manifest& manifest) const noexcept {
    return align_up(manifest.kv_bytes.value_or(config_.kv_memory_bytes), kPageBytes);
}

kernels::KvType NodeImpl::kv_type_of(const api::Manifest& manifest) noexcept {
    const kernels::KvType* type = kernels::find_kv_type(manifest.kv_type);
    REKINDLE_CHECK(type != nullptr, "a manifest's types of KV caches are those of the kernels");
    return *type;
}

void NodeImpl::renew_rules() {
    auto book = std::make_shared<RequestRuleBook>();
    const auto add = [&book](const std::string& name, const DeploymentRecord& record) {
        (*book)[name] = std::make_shared<const api::RequestRules>(record.manifest.rules);
    };
    for (const DeploymentEntry& entry : catalog_.entries()) {
        add(entry.current.name, entry.current);
    }
    for (const AliasEntry& entry : catalog_.aliases()) {
        add(entry.alias, catalog_.find(entry.name)->current);
    }
    rules_ = std::move(book);
}

// What can be refused before a byte of the model is read.
Result<void> NodeImpl::check_manifest(const api::Manifest& manifest) const {
    const auto priced = check_prices(manifest);
    if (!priced) {
        return priced;
    }
    if (kv_bytes_of(manifest) > config_.host_memory_bytes && manifest.kv_bytes) {
        return Error{
            ErrorCode::kInvalidArgument,
            fmt::format("runtime.kv: {} are more than this node's {} of host memory: "
                        "lower it, or leave it to auto",
                        format_bytes(*manifest.kv_bytes), format_bytes(config_.host_memory_bytes))};
    }
    DeploymentRecord names;
    names.name = manifest.name;
    names.manifest = manifest;
    auto free = catalog_.check_names(names);
    if (!free || !manifest.min_warm) {
        return free;
    }
    const auto& entries = catalog_.entries();
    const auto kept = std::count_if(entries.begin(), entries.end(), [&](const auto& entry) {
        return entry.current.manifest.min_warm && entry.current.name != manifest.name;
    });
    if (static_cast<uint64_t>(kept) >= config_.workers_max) {
        return Error{ErrorCode::kConflict,
                     fmt::format("scale.min_warm: {} models are kept warm already, as many as this "
                                 "node has workers (--workers-max)",
                                 kept)};
    }
    return {};
}

Task<Result<void>> NodeImpl::begin_change() {
    while (deploying_) {  // The chunk store takes one image at a time.
        co_await deploy_ended_.wait();
    }
    if (draining_) {
        co_return Error{ErrorCode::kUnavailable, "this node is shutting down"};
    }
    deploying_ = true;
    co_return Result<void>();
}

void NodeImpl::end_change() {
    deploying_ = false;
    deploy_ended_.notify();
}

Task<Result<DeploymentInfo>> NodeImpl::deploy(DeploySpec spec, UniqueFd source,
                                              OnProgress on_progress) {
    // A file is fetched before its turn: that may take hours, and others deploy meanwhile.
    const bool fetched = !spec.manifest.address().empty();
    return fetched ? deploy_fetched(std::move(spec), std::move(on_progress))
                   : deploy_source(std::move(spec), std::move(source), std::move(on_progress));
}

Task<Result<DeploymentInfo>> NodeImpl::deploy_source(DeploySpec spec, UniqueFd source,
                                                     OnProgress on_progress) {
    const auto begun = co_await begin_change();
    if (!begun) {
        co_return begun.error();
    }
    auto info = co_await deploy_locked(&spec, std::move(source), std::move(on_progress));
    end_change();
    co_return info;
}

Task<Result<DeploymentInfo>> NodeImpl::deploy_locked(const DeploySpec* spec, UniqueFd source,
                                                     OnProgress on_progress) {
    DeploySpec resolved = *spec;
    const auto checked = check_manifest(resolved.manifest);
    const auto drafted = checked ? resolve_draft(resolved.manifest) : checked;
    if (!drafted) {
        co_return drafted.error();
    }
    const bool stored = !resolved.manifest.image().empty();
    auto finding = stored ? record_of_image(resolved.manifest)
                          : import_source(&resolved, std::move(source), on_progress);
    auto record = co_await std::move(finding);
    if (!record) {
        co_return record.error();
    }
    const auto facts = co_await add_draft_facts(&*record);
    if (!facts) {
        co_await forget_unused(record->image);
        co_return facts.error();
    }
    // What came from a file is taken for what it should be; an image that was here is compared.
    const CheckMode check = stored ? CheckMode::kReplay : CheckMode::kRecord;
    auto info = co_await publish(std::move(record).value(), check, std::move(on_progress));
    co_return info;
}

Task<Result<DeploymentInfo>> NodeImpl::rollback(std::string name, std::string revision) {
    const auto begun = co_await begin_change();
    if (!begun) {
        co_return begun.error();
    }
    const DeploymentEntry* entry = catalog_.find(name);
    auto record = entry == nullptr ? Error{ErrorCode::kNotFound,
                                           fmt::format("no model named \"{}\" is deployed", name)}
                                   : earlier_revision(*entry, revision);
    if (!record) {
        end_change();
        co_return record.error();
    }
    auto info = co_await publish(std::move(record).value(), CheckMode::kReplay,
                                 [](const DeployProgress&) {});
    end_change();
    co_return info;
}

// A revision is live only after a worker has accepted its image; the one before it answers until
// then, and then finishes what it has begun.
Task<Result<DeploymentInfo>> NodeImpl::publish(DeploymentRecord record, CheckMode check,
                                               OnProgress on_progress) {
    const auto now = std::chrono::duration_cast<std::chrono::seconds>(services_.clock.wall());
    record.created_unix_s = now.count();
    const std::vector<std::string> images = images_of(catalog_.find(record.name));
    on_progress(DeployProgress{"check", 0, 1});
    auto candidate = make_instance(record);
    // Of an image that is still on its way, weights are not waited for, and nothing is recorded.
    const bool arriving = is_arriving(record.image);
    candidate->check_first(arriving ? CheckMode::kNone : check);
    auto warming = arriving ? candidate->accept(candidate) : candidate->warm(candidate);
    auto assigned = co_await std::move(warming);
    if (assigned && candidate->draft_error()) {
        assigned = *candidate->draft_error();
    }
    if (assigned && !draining_) {
        record.context_max = assigned->context_max;
        auto put = catalog_.put(record);
        if (!put) {
            assigned = put.error();
        }
    }
    if (!assigned) {
        candidate->end_for_good();
        co_await forget_unused(record.image);
        co_return assigned.error();
    }
    pulled_.remove(record.image);
    candidate->set_context_max(record.context_max);
    on_progress(DeployProgress{"check", 1, 1});
    auto& slot = instances_[record.name];
    const std::shared_ptr<ModelInstance> replaced = std::exchange(slot, candidate);
    renew_rules();
    keep_warm(candidate);
    prepare_memory();
    schedule_cooling();  // Its keep-alive runs from now on, even if nobody ever calls it.
    log_info("deployed",
             {{"model", record.name}, {"revision", record.revision}, {"image", record.image}});
    if (replaced != nullptr) {
        auto retiring = retire(replaced, images);
        static_cast<void>(
            spawn(services_.context, "retire_" + record.name, gate_, std::move(retiring)));
    }
    co_return info_of(*candidate);
}

void NodeImpl::keep_warm(const std::shared_ptr<ModelInstance>& instance) {
    if (!instance->record().manifest.min_warm) {
        return;
    }
    auto staying = instance->stay_warm(instance);
    static_cast<void>(
        spawn(services_.context, "warm_" + instance->record().name, gate_, std::move(staying)));
}

// The old revision finishes what it is answering, then its worker ends, and those of `images` go
// that no current or earlier revision names.
Task<> NodeImpl::retire(std::shared_ptr<ModelInstance> instance, std::vector<std::string> images) {
    const auto retiring = retiring_.insert(instance->record().image);
    const auto draft = retiring_.insert(std::string(instance->record().manifest.draft_image()));
    co_await instance->drained(instance);
    instance->end_for_good();
    if (retained_disk_ != nullptr && !revisions().contains(instance->revision())) {
        retained_disk_->drop(instance->revision());
    }
    retiring_.erase(retiring);
    retiring_.erase(draft);
    while (deploying_) {  // So that no deployment takes one of them up meanwhile.
        co_await deploy_ended_.wait();
    }
    deploying_ = true;
    for (const std::string& image : images) {
        if (catalog_.uses_image(image)) {
            continue;
        }
        const auto forgotten = co_await forget_image(image);
        if (!forgotten) {
            log_warning("image_not_removed",
                        {{"image", image}, {"reason", forgotten.error().message}});
        }
    }
    end_change();
}

// Of a deployment that failed: its first fault is the one to report.
Task<> NodeImpl::forget_unused(std::string image) {
    const auto now = std::chrono::duration_cast<std::chrono::seconds>(services_.clock.wall());
    if (!catalog_.uses_image(image) && !pulled_.kept(image, now)) {
        auto forgotten = co_await forget_image(std::move(image));
        static_cast<void>(forgotten);
    }
}

void NodeImpl::forget_marks(const std::string& image) {
    checks_.remove(image);
    pulled_.remove(image);
}

Task<Result<void>> NodeImpl::forget_image(std::string digest) {
    auto work = [&store = services_.store, &tier = services_.tier, arriving = services_.arriving,
                 digest]() -> Result<uint64_t> {
        const bool on_its_way = arriving != nullptr && arriving->forget(digest);
        const auto evicted = tier.evict(digest);
        static_cast<void>(evicted);  // Not resident, or held until its worker is reaped.
        const auto removed = on_its_way ? Result<void>() : store.remove_image(digest);
        if (!removed) {
            return removed.error();
        }
        return store.collect();
    };
    auto removing = offload(compute_, std::move(work));
    auto freed = co_await std::move(removing);
    if (!freed) {
        co_return freed.error();
    }
    forget_marks(digest);
    log_info("image_removed", {{"image", digest}, {"bytes_freed", *freed}});
    co_return Result<void>();
}

Task<Result<void>> NodeImpl::undeploy(std::string name) {
    const auto begun = co_await begin_change();
    if (!begun) {
        co_return begun.error();
    }
    const auto found = instances_.find(name);
    if (found == instances_.end()) {
        end_change();
        co_return Error{ErrorCode::kNotFound,
                        fmt::format("no model named \"{}\" is deployed", name)};
    }
    std::vector<std::string> images = images_of(catalog_.find(name));
    const auto removed = catalog_.remove(name);
    if (!removed) {
        end_change();
        co_return removed.error();
    }
    const std::shared_ptr<ModelInstance> instance = found->second;
    instances_.erase(found);
    watch_.last_cold.erase(name);
    renew_rules();
    prepare_memory();
    end_change();
    co_await retire(instance, std::move(images));
    log_info("undeployed", {{"model", name}});
    co_return Result<void>();
}

}  // namespace rekindle::daemon
