// The node: catalog, host tier, worker pool, model instances and ledger behind the Node interface.
// Threading: the io thread; imports and reports run on the compute pool.
#pragma once
#include "base/async/gate.h"
#include "base/async/offload.h"
#include "base/async/timer.h"
#include "base/clock.h"
#include "base/random.h"
#include "billing/ledger.h"
#include "daemon/catalog.h"
#include "daemon/config.h"
#include "daemon/data_folder.h"
#include "daemon/download.h"
#include "daemon/image_facts.h"
#include "daemon/metered_ledger.h"
#include "daemon/model_bench.h"
#include "daemon/model_instance.h"
#include "daemon/node.h"
#include "daemon/pulled_images.h"
#include "daemon/retained_disk.h"
#include "daemon/self_check_store.h"
#include "daemon/tenant_salts.h"
#include "daemon/upkeep.h"
#include "daemon/worker_pool.h"
#include "loader/chunk_store.h"
#include "loader/remote/arriving_images.h"
#include "loader/remote/remote_settings.h"
#include "scheduler/admit/admission_gate.h"
#include "scheduler/scale/core_shares.h"
#include "scheduler/scale/keep_alive.h"
#include "snapshot/tiers/host_tier.h"

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace rekindle::daemon {

struct NodeServices {
    asio::io_context& context;
    const Clock& clock;
    const DataFolder& folder;
    billing::Ledger& ledger;
    loader::ChunkStore& store;
    snapshot::HostTier& tier;
    WorkerLauncher& launcher;
    Timers& timers;
    Entropy& entropy;
    std::string worker_executable;  // Of imports.
    // Images that are served while they arrive; may be null, where nothing is pulled.
    remote::ArrivingImages* arriving = nullptr;
};

class NodeImpl final : public Node, public Upkeep {
public:
    NodeImpl(NodeServices services, Config config, Catalog catalog);
    ~NodeImpl() override;

    // Starts the spare workers.
    Result<void> start();
    // Refuses new requests; completes when the running ones have ended or at the deadline.
    Task<> drain(std::chrono::milliseconds deadline);
    // After drain: ends every worker and waits for all coroutines.
    Task<> stop();

    Task<Result<DeploymentInfo>> deploy(DeploySpec spec, UniqueFd source,
                                        OnProgress on_progress) override;
    Task<Result<TransferInfo>> push(TransferSpec spec, OnProgress on_progress) override;
    Task<Result<TransferInfo>> pull(TransferSpec spec, OnProgress on_progress) override;
    Task<Result<DeployPlan>> plan(DeploySpec spec, UniqueFd source) override;
    Task<Result<DeploymentInfo>> rollback(std::string name, std::string revision) override;
    Task<Result<DeploymentDetails>> describe(std::string name) override;
    std::vector<AliasInfo> aliases() const override;
    Result<void> set_alias(const std::string& alias, const std::string& name) override;
    Result<void> remove_alias(const std::string& alias) override;
    std::shared_ptr<const RequestRuleBook> request_rules() const override { return rules_; }

    Task<Result<void>> undeploy(std::string name) override;
    std::vector<DeploymentInfo> deployments() const override;
    uint64_t ready_bytes() const override { return services_.tier.free_bytes(); }
    Result<DeploymentInfo> deployment(const std::string& name) const override;
    Task<Result<std::unique_ptr<GenerateStream>>> generate(GenerateRequest request) override;
    Task<Result<std::unique_ptr<BenchStream>>> bench(BenchSpec spec) override;
    Task<Result<std::vector<billing::UsageRow>>> usage(billing::UsageQuery query) override;
    Task<Result<billing::UsageFinal>> find_request(billing::RequestId id) override;
    Result<UniqueFd> new_upload_file() override { return services_.folder.unnamed_file(); }
    const std::string& data_folder() const override { return services_.folder.path(); }
    bool draining() const override { return draining_; }
    std::vector<Unready> unready() const override;

    Watch& watch() override { return watch_; }

    void refresh_metrics() override;

    Task<Result<GcReport>> gc(GcSpec spec) override;
    Task<Result<std::unique_ptr<VerifyStream>>> verify(VerifySpec spec) override;
    Task<Result<DeploymentInfo>> warm(std::string model, bool wait) override;
    Task<Result<DeploymentInfo>> cool(CoolSpec spec) override;

private:
    class Verification;

    std::shared_ptr<ModelInstance> make_instance(const DeploymentRecord& record);
    DeploymentInfo info_of(const ModelInstance& instance) const;
    std::vector<scheduler::WorkerUse> worker_uses() const;
    // After `trace` was begun.
    Task<Result<std::unique_ptr<GenerateStream>>> admit(GenerateRequest request,
                                                        std::shared_ptr<RequestTrace> trace);
    bool cool_longest_idle();
    // Busy workers share the cores of the node.
    void grant_cores();
    void schedule_cooling();
    // Forgets what models at zero retain beyond the node's limit.
    void bound_retained();
    void cool_idle_models();
    Result<billing::RequestFacts> facts_of(const GenerateRequest& request,
                                           const ModelInstance& instance) const;
    // Room for one more worker, if need be by cooling the model that was idle longest.
    Result<void> make_worker_room();
    // ---- node_upkeep.cpp ----
    // Deployments with a revision of this image.
    std::vector<std::string> models_of(const std::string& image) const;
    std::vector<std::string> unnamed_images(const std::vector<std::string>& images) const;
    // What was noted about an image that is no more.
    void forget_marks(const std::string& image);
    // ---- node_tiers.cpp ----
    // Reads into memory what manifests want there, one after the other, as far as memory reaches.
    Task<> preload_models();
    Task<Result<void>> preload(const DeploymentRecord* record);
    // Wakes the models that are wanted with this one, as far as there is room.
    void wake_others(const ModelInstance& instance);
    Result<std::shared_ptr<ModelInstance>> instance_of(const std::string& model) const;
    Task<> finish_warming(std::shared_ptr<ModelInstance> instance);
    Task<bool> unused_within(std::shared_ptr<ModelInstance> instance,
                             std::chrono::milliseconds wait);
    Task<Result<void>> evict_image(std::string image);
    // ---- node_retained.cpp ----
    void open_retained();
    std::set<std::string> revisions() const;
    Task<> store_retained(std::shared_ptr<ModelInstance> instance);
    // ---- node_bench.cpp ----
    std::vector<std::string> work_now() const;
    // ---- node_import.cpp ----
    Task<Result<DeploymentRecord>> import_source(const DeploySpec* spec, UniqueFd source,
                                                 OnProgress on_progress);
    Task<Result<DeploymentRecord>> record_of_image(api::Manifest manifest);
    // ---- node_draft.cpp ----
    // Puts the image in place of the name.
    Result<void> resolve_draft(api::Manifest& manifest) const;
    Task<Result<DraftFacts>> draft_facts(std::string digest, ImageFacts model,
                                         kernels::KvType type);
    // What is left of the KV memory for the model itself.
    Task<Result<uint64_t>> planned_kv_bytes(const api::Manifest* manifest, ImageFacts model);
    Task<Result<void>> add_draft_facts(DeploymentRecord* record);
    // Its part of a deployment's KV memory.
    static uint64_t draft_kv_bytes(uint64_t kv_bytes, const DraftFacts& draft) noexcept;
    // ---- node_plan.cpp ----
    Task<Result<ImageFacts>> facts_of_image(std::string digest);
    // ---- node_remote.cpp ----
    remote::Cancelled until_left(std::shared_ptr<const std::atomic<bool>> client_left);
    remote::SourceContext remote_context() const;
    // The index of an image that is here or on its way.
    Task<Result<std::string>> find_index(std::string digest);
    bool is_arriving(const std::string& image) const;
    // As a pull that is waited for, but with the index alone.
    Result<TransferInfo> begin_arrival(const remote::RemoteImage& image,
                                       const std::string& address);
    Task<Result<std::shared_ptr<Download>>> fetch_file(const DeploySpec* spec,
                                                       OnProgress on_progress);
    Task<Result<DeploymentInfo>> deploy_fetched(DeploySpec spec, OnProgress on_progress);
    // ---- node_deploy.cpp ----
    Task<Result<DeploymentInfo>> deploy_source(DeploySpec spec, UniqueFd source,
                                               OnProgress on_progress);
    Result<void> check_manifest(const api::Manifest& manifest) const;
    // Deployments, rollbacks and removals one after the other.
    Task<Result<void>> begin_change();
    void end_change();
    Task<Result<DeploymentInfo>> deploy_locked(const DeploySpec* spec, UniqueFd source,
                                               OnProgress on_progress);
    Task<Result<DeploymentInfo>> publish(DeploymentRecord record, CheckMode check,
                                         OnProgress on_progress);
    Task<> retire(std::shared_ptr<ModelInstance> instance, std::vector<std::string> images);
    void keep_warm(const std::shared_ptr<ModelInstance>& instance);
    // Memory for the largest image that a request may bring back.
    void prepare_memory();
    uint64_t kv_bytes_of(const api::Manifest& manifest) const noexcept;
    static kernels::KvType kv_type_of(const api::Manifest& manifest) noexcept;
    void renew_rules();
    Task<Result<void>> forget_image(std::string digest);
    Task<> forget_unused(std::string image);

    const NodeServices services_;
    const Config config_;
    const remote::Environment environment_ = remote::process_environment;
    const TenantSalts salts_;
    Catalog catalog_;
    Gate gate_;
    ComputePool compute_;
    ComputePool transfers_;                        // Blocks on networks.
    std::unique_ptr<RetainedDisk> retained_disk_;  // Null: they stay in memory alone.
    WorkerPool pool_;
    Watch watch_;
    SelfCheckStore checks_;
    const PulledImages pulled_;
    MeteredLedger ledger_;
    MarkBatch marks_;
    std::map<std::string, std::shared_ptr<ModelInstance>> instances_;
    std::shared_ptr<const RequestRuleBook> rules_;
    std::optional<double> restore_bytes_per_s_;  // Of the last image that was read from disk.
    const scheduler::ScaleLimits scale_limits_;
    scheduler::AdmissionGate admission_;
    std::unique_ptr<Timer> cooling_;
    Event request_left_;
    std::weak_ptr<ModelBench> bench_;      // The last one.
    std::multiset<std::string> retiring_;  // Images of replaced revisions that still answer.
    bool verifying_ = false;
    bool deploying_ = false;
    Event deploy_ended_;
    bool draining_ = false;
    std::atomic<bool> cancel_imports_{false};
};

}  // namespace rekindle::daemon
