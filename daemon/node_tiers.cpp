// Models moved by hand: into a worker, out of it, out of memory.
#include "base/async/event.h"
#include "base/async/spawn.h"
#include "base/log.h"
#include "base/units.h"
#include "daemon/node_impl.h"

#include <boost/asio/post.hpp>
#include <fmt/format.h>

#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace rekindle::daemon {
namespace {

// A worker that was ended gives its memory back when it is reaped, within milliseconds.
constexpr std::chrono::milliseconds kEvictPause{5};
constexpr int kEvictTries = 400;

Error still_busy(const ModelInstance& instance) {
    const std::string& name = instance.record().name;
    const std::string what =
        instance.busy() ? fmt::format("answers {} requests", instance.active()) : "is being warmed";
    return Error{ErrorCode::kConflict,
                 fmt::format("{} {}: let it end (--wait 1m), or try again later", name, what)};
}

}  // namespace

Result<std::shared_ptr<ModelInstance>> NodeImpl::instance_of(const std::string& model) const {
    const auto found = instances_.find(std::string(catalog_.resolve(model)));
    if (found == instances_.end()) {
        return Error{ErrorCode::kNotFound, fmt::format("no model named \"{}\" is deployed", model)};
    }
    return found->second;
}

void NodeImpl::prepare_memory() {
    uint64_t largest = 0;
    for (const auto& [name, instance] : instances_) {
        const DeploymentRecord& record = instance->record();
        if (record.image_bytes > largest && !services_.tier.resident(record.image)) {
            largest = record.image_bytes;
        }
    }
    services_.tier.prepare(largest);
}

void NodeImpl::wake_others(const ModelInstance& instance) {
    for (const std::string& name : instance.record().manifest.wakes) {
        const auto other = instance_of(name);  // It may not be deployed so far.
        if (!other || (*other)->has_worker()) {
            continue;
        }
        const auto room = make_worker_room();
        if (!room) {
            log_warning("not_woken", {{"model", name},
                                      {"with", instance.record().name},
                                      {"reason", room.error().message}});
            continue;
        }
        auto finishing = finish_warming(*other);
        static_cast<void>(spawn(services_.context, "wake_" + name, gate_, std::move(finishing)));
    }
}

Task<> NodeImpl::preload_models() {
    std::vector<DeploymentRecord> wanted;
    for (const DeploymentEntry& entry : catalog_.entries()) {
        if (entry.current.manifest.preload && !entry.current.manifest.min_warm) {
            wanted.push_back(entry.current);
        }
    }
    for (const DeploymentRecord& record : wanted) {
        if (draining_) {
            co_return;
        }
        const auto preloaded = co_await preload(&record);
        if (!preloaded) {
            log_warning("preload_failed",
                        {{"model", record.name}, {"reason", preloaded.error().message}});
        }
    }
}

// Never at the cost of what is in memory already.
Task<Result<void>> NodeImpl::preload(const DeploymentRecord* record) {
    const uint64_t held = services_.tier.resident_bytes();
    if (held + record->image_bytes > config_.host_memory_bytes) {
        co_return Error{ErrorCode::kResourceExhausted,
                        fmt::format("its image of {} does not fit beside the {} of host memory "
                                    "that is in use of {}: raise --host-memory",
                                    format_bytes(record->image_bytes), format_bytes(held),
                                    format_bytes(config_.host_memory_bytes))};
    }
    // Shared with the loader's callback, which comes on another thread.
    struct Arrival {
        explicit Arrival(asio::io_context& context) : changed(context) {}
        std::optional<Result<void>> result;
        Event changed;
    };
    const auto arrival = std::make_shared<Arrival>(services_.context);
    auto image = services_.tier.acquire(
        record->image,
        [arrival, &context = services_.context](const Result<snapshot::RestoreTimes>& times) {
            const auto done = times ? Result<void>() : Result<void>(times.error());
            asio::post(context, [arrival, done] {
                arrival->result = done;
                arrival->changed.notify();
            });
        });
    if (!image) {
        co_return image.error();
    }
    while (!arrival->result) {
        co_await arrival->changed.wait();
    }
    if (*arrival->result) {
        log_info("model_preloaded", {{"model", record->name}, {"bytes", record->image_bytes}});
    }
    co_return *arrival->result;
}

Task<> NodeImpl::finish_warming(std::shared_ptr<ModelInstance> instance) {
    const auto warmed = co_await instance->warm(instance);
    if (!warmed) {
        log_warning("warm_failed",
                    {{"model", instance->record().name}, {"reason", warmed.error().message}});
    }
}

Task<Result<DeploymentInfo>> NodeImpl::warm(std::string model, bool wait) {
    if (draining_) {
        co_return Error{ErrorCode::kUnavailable, "this node is shutting down"};
    }
    auto found = instance_of(model);
    if (!found) {
        co_return found.error();
    }
    const std::shared_ptr<ModelInstance> instance = std::move(found).value();
    if (!instance->has_worker()) {
        const auto room = make_worker_room();
        if (!room) {
            co_return room.error();
        }
        const auto begun = co_await instance->wake_in_turn(instance);
        if (!begun) {
            co_return begun.error();
        }
        wake_others(*instance);
    }
    if (!wait) {
        auto finishing = finish_warming(instance);
        static_cast<void>(spawn(services_.context, "warm_" + instance->record().name, gate_,
                                std::move(finishing)));
        co_return info_of(*instance);
    }
    const auto warmed = co_await instance->warm(instance);
    if (!warmed) {
        co_return warmed.error();
    }
    co_return info_of(*instance);
}

// False at the deadline.
Task<bool> NodeImpl::unused_within(std::shared_ptr<ModelInstance> instance,
                                   std::chrono::milliseconds wait) {
    const std::unique_ptr<Timer> timer = services_.timers.make("cool");
    bool late = wait.count() == 0;
    if (!late) {
        timer->start(wait, [&late, instance] {
            late = true;
            instance->changed().notify();
        });
    }
    while (instance->held() && !late && !draining_) {
        co_await instance->changed().wait();
    }
    co_return !instance->held();
}

Task<Result<void>> NodeImpl::evict_image(std::string image) {
    asio::steady_timer pause(services_.context);
    for (int i = 0; i < kEvictTries; ++i) {
        const auto evicted = services_.tier.evict(image);
        if (evicted || evicted.error().code == ErrorCode::kNotFound) {
            co_return Result<void>();
        }
        if (evicted.error().code != ErrorCode::kConflict) {
            co_return evicted.error();
        }
        for (const auto& [name, instance] : instances_) {
            if (instance->record().names_image(image) && instance->has_worker()) {
                co_return Error{ErrorCode::kConflict,
                                fmt::format("{} uses the same image: cool it, too", name)};
            }
        }
        pause.expires_after(kEvictPause);
        auto waited = co_await pause.async_wait(kAsTuple);
        static_cast<void>(waited);
    }
    co_return Error{ErrorCode::kConflict,
                    fmt::format("image {}: its memory is still in use: try again", image)};
}

Task<Result<DeploymentInfo>> NodeImpl::cool(CoolSpec spec) {
    auto found = instance_of(spec.model);
    if (!found) {
        co_return found.error();
    }
    const std::shared_ptr<ModelInstance> instance = std::move(found).value();
    if (instance->record().manifest.min_warm) {
        co_return Error{ErrorCode::kConflict,
                        fmt::format("{}: its manifest keeps it warm (scale.min_warm: 1): deploy it "
                                    "without that",
                                    instance->record().name)};
    }
    const bool unused = co_await unused_within(instance, spec.wait);
    if (draining_) {
        co_return Error{ErrorCode::kUnavailable, "this node is shutting down"};
    }
    if (!unused) {
        co_return still_busy(*instance);
    }
    instance->cool();
    if (spec.to == CoolTo::kDisk) {
        auto storing = store_retained(instance);
        co_await std::move(storing);
        auto evicting = evict_image(instance->record().image);
        const auto evicted = co_await std::move(evicting);
        if (!evicted) {
            co_return evicted.error();
        }
        prepare_memory();
    }
    co_return info_of(*instance);
}

}  // namespace rekindle::daemon
