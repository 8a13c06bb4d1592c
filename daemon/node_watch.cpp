// What the node says of itself: numbers as of now, and whether it is ready. Nothing here wakes a
// model.
#include "daemon/node_impl.h"

#include <fmt/format.h>

#include <chrono>
#include <map>

namespace rekindle::daemon {
namespace {

// A write that takes longer than any disk's: the ledger thread or its disk is stuck.
constexpr std::chrono::seconds kLedgerLagMax{10};
// Spare workers that died one after the other.
constexpr uint32_t kWorkerFailuresMax = 3;

}  // namespace

std::vector<Unready> NodeImpl::unready() const {
    std::vector<Unready> reasons;
    if (draining_) {
        reasons.push_back({"draining", "this node is shutting down"});
    }
    if (!services_.ledger.healthy()) {
        reasons.push_back({"ledger", "the ledger can't be written: see the node's log", true});
    } else if (const auto lag = ledger_.lag(); lag > kLedgerLagMax) {
        reasons.push_back({"ledger",
                           fmt::format("the ledger has not answered for {:.1f} s",
                                       std::chrono::duration<double>(*lag).count()),
                           true});
    }
    if (pool_.failures() >= kWorkerFailuresMax) {
        reasons.push_back({"workers", fmt::format("the last {} workers died before they were "
                                                  "ready: see the node's log",
                                                  pool_.failures())});
    } else if (config_.spare_workers > 0 && !pool_.ever_ready()) {
        reasons.push_back({"starting", "no worker has come up yet"});
    }
    for (const auto& [name, instance] : instances_) {
        if (auto stalled = instance->watch().stalled(instance->requests_now())) {
            reasons.push_back({"stalled", *std::move(stalled)});
        }
    }
    return reasons;
}

void NodeImpl::refresh_metrics() {
    NodeMetrics& metrics = watch_.metrics;
    RekindleMetrics& own = metrics.own;
    metrics.vllm.requests_running.clear();
    metrics.vllm.requests_waiting.clear();
    metrics.vllm.kv_cache_usage.clear();
    std::map<std::string, double> tiers{{"worker", 0}, {"memory", 0}, {"disk", 0}, {"remote", 0}};
    RequestsNow all;
    uint64_t workers = 0;
    for (const auto& [name, instance] : instances_) {
        const RequestsNow now = instance->requests_now();
        instance->watch().refresh(now);
        all.running += now.running;
        all.waiting += now.waiting;
        workers += instance->has_worker() ? 1 : 0;
        ++tiers[info_of(*instance).tier];
    }
    own.models.clear();
    for (const auto& [tier, count] : tiers) {
        own.models.add({tier}, count);
    }
    own.resident_bytes.clear();
    own.resident_bytes.add({"images"}, static_cast<double>(services_.tier.resident_bytes()));
    own.resident_bytes.add({"ready"}, static_cast<double>(services_.tier.free_bytes()));
    uint64_t retained = 0;
    for (const auto& [name, instance] : instances_) {
        retained += instance->retained_bytes();
    }
    own.resident_bytes.add({"retained_kv"}, static_cast<double>(retained));
    own.resident_bytes.add({"kv"}, static_cast<double>(workers * config_.kv_memory_bytes));
    own.retained_disk.set(retained_disk_ == nullptr ? 0.0
                                                    : static_cast<double>(retained_disk_->bytes()));
    own.memory_budget.set(static_cast<double>(config_.host_memory_bytes));
    metrics.llama.requests_processing.set(all.running);
    metrics.llama.requests_deferred.set(all.waiting);
    own.requests_inside.set(admission_.inside());
    own.pool_ready.set(pool_.ready_count());
    own.worker_starts.add(Int128{pool_.started()} - own.worker_starts.value({}));
    own.worker_deaths.add({"spare"}, Int128{pool_.deaths()} - own.worker_deaths.value({"spare"}));
    ledger_.refresh_metrics();
    metrics.refresh();
}

}  // namespace rekindle::daemon
