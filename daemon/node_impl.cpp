#include "daemon/node_impl.h"

#include "base/async/spawn.h"
#include "base/log.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace rekindle::daemon {
namespace {

// Requests in the node at once, over all models and for one: beyond, clients are told to come back.
constexpr scheduler::AdmissionLimits kAdmissionLimits{.model_requests_max = 1024,
                                                      .node_requests_max = 4096};
constexpr size_t kComputeThreads = 2;   // Imports and reports.
constexpr size_t kTransferThreads = 4;  // Downloads, pushes and pulls at a time; others wait.

}  // namespace

NodeImpl::NodeImpl(NodeServices services, Config config, Catalog catalog)
    : services_(std::move(services)),
      config_(std::move(config)),
      salts_(config_.retained_kv_disk_bytes.value_or(0) > 0
                 ? TenantSalts::kept_in(services_.folder.at("salt.key"), services_.entropy)
                 : TenantSalts(services_.entropy)),
      catalog_(std::move(catalog)),
      gate_(services_.context),
      compute_(kComputeThreads),
      transfers_(kTransferThreads),
      pool_({services_.context, gate_, services_.clock, services_.timers, services_.launcher},
            config_.spare_workers),
      watch_(services_.clock),
      checks_(services_.folder.at("checks")),
      pulled_(services_.folder.at("pulled")),
      ledger_({services_.ledger, services_.context, services_.clock, watch_}),
      marks_(services_.context, ledger_),
      scale_limits_{.idle_default = config_.idle,
                    .spares_min = config_.spare_workers,
                    .workers_max = config_.workers_max},
      admission_(kAdmissionLimits, services_.clock),
      cooling_(services_.timers.make("cooling")),
      request_left_(services_.context),
      deploy_ended_(services_.context) {
    open_retained();
    for (const DeploymentEntry& entry : catalog_.entries()) {
        instances_.emplace(entry.current.name, make_instance(entry.current));
    }
    renew_rules();
}

NodeImpl::~NodeImpl() = default;

Result<void> NodeImpl::start() {
    remove_old_downloads(services_.folder.at("downloads"));
    auto started = pool_.start();
    if (started) {
        for (const auto& [name, instance] : instances_) {
            keep_warm(instance);
        }
        prepare_memory();
        auto preloading = preload_models();
        static_cast<void>(spawn(services_.context, "preload", gate_, std::move(preloading)));
    }
    return started;
}

std::shared_ptr<ModelInstance> NodeImpl::make_instance(const DeploymentRecord& record) {
    InstanceServices services{.context = services_.context,
                              .clock = services_.clock,
                              .pool = pool_,
                              .tier = services_.tier,
                              .watch = watch_,
                              .checks = checks_,
                              .make_room = [this] { return cool_longest_idle(); },
                              .became_idle = [this] { schedule_cooling(); },
                              .load_changed = [this] { grant_cores(); },
                              .retained_bytes_max = config_.retained_kv_bytes.value_or(0),
                              .retained = [this] { bound_retained(); },
                              .retained_disk = retained_disk_.get(),
                              .restored =
                                  [this](const snapshot::RestoreTimes& times) {
                                      if (times.bytes_fetched > 0) {
                                          return;  // That says nothing about the disk.
                                      }
                                      const std::chrono::duration<double> taken = times.total;
                                      restore_bytes_per_s_ =
                                          static_cast<double>(times.bytes_read) / taken.count();
                                      prepare_memory();
                                  }};
    const uint64_t kv_bytes = kv_bytes_of(record.manifest);
    const uint64_t draft_kv = draft_kv_bytes(kv_bytes, record.draft);
    InstanceOptions options{.kv_bytes = kv_bytes - draft_kv,
                            .kv_type = kv_type_of(record.manifest),
                            .threads = config_.threads,
                            .sequences_max = record.manifest.max_batch,
                            .speculation = record.manifest.speculation,
                            .draft = {.image = std::string(record.manifest.draft_image()),
                                      .image_bytes = record.draft.image_bytes,
                                      .kv_bytes = draft_kv}};
    return std::make_shared<ModelInstance>(std::move(services), record, options);
}

DeploymentInfo NodeImpl::info_of(const ModelInstance& instance) const {
    const DeploymentRecord& record = instance.record();
    DeploymentInfo info{.name = record.name,
                        .revision = instance.revision(),
                        .image = record.image,
                        .architecture = record.architecture,
                        .image_bytes = record.image_bytes,
                        .context = record.context_max,
                        .kv_type = record.manifest.kv_type,
                        .created_unix_s = record.created_unix_s,
                        .price_input = record.manifest.price_input,
                        .price_output = record.manifest.price_output,
                        .price_cached = record.manifest.price_cached,
                        .currency = record.manifest.currency};
    for (const AliasEntry& entry : catalog_.aliases()) {
        if (entry.name == record.name) {
            info.aliases.push_back(entry.alias);
        }
    }
    instance.describe(info);
    const auto arriving =
        services_.arriving == nullptr ? std::nullopt : services_.arriving->progress(record.image);
    if (arriving) {
        info.arriving = DeploymentInfo::Arriving{.bytes_here = arriving->bytes_here,
                                                 .bytes = arriving->bytes,
                                                 .remote = arriving->remote,
                                                 .problem = arriving->problem};
        info.tier = info.tier == "disk" ? "remote" : info.tier;
    }
    return info;
}

std::vector<DeploymentInfo> NodeImpl::deployments() const {
    std::vector<DeploymentInfo> infos;
    for (const auto& [name, instance] : instances_) {
        infos.push_back(info_of(*instance));
    }
    return infos;
}

Result<DeploymentInfo> NodeImpl::deployment(const std::string& name) const {
    const auto found = instances_.find(std::string(catalog_.resolve(name)));
    if (found == instances_.end()) {
        return Error{ErrorCode::kNotFound, fmt::format("no model named \"{}\" is deployed", name)};
    }
    return info_of(*found->second);
}

std::vector<scheduler::WorkerUse> NodeImpl::worker_uses() const {
    std::vector<scheduler::WorkerUse> uses;
    for (const auto& [name, instance] : instances_) {
        if (instance->has_worker()) {
            uses.push_back(instance->use());
        }
    }
    return uses;
}

void NodeImpl::grant_cores() {
    if (const auto bench = bench_.lock()) {
        bench->look_around();
    }
    std::vector<uint32_t> requests;
    for (const auto& [name, instance] : instances_) {
        requests.push_back(instance->active());
    }
    const bool serving =
        std::ranges::any_of(instances_, [](const auto& entry) { return entry.second->serving(); });
    services_.tier.set_restore_share(serving ? config_.restore_share : 100);
    const auto shares = scheduler::share_cores(config_.threads, requests);
    size_t next = 0;
    for (const auto& [name, instance] : instances_) {
        instance->grant_cores(shares[next++]);
    }
}

Result<void> NodeImpl::make_worker_room() {
    if (worker_uses().size() >= config_.workers_max && !cool_longest_idle()) {
        return Error{ErrorCode::kOverloaded,
                     fmt::format("all {} workers are busy with other models: try again later",
                                 config_.workers_max)};
    }
    return {};
}

bool NodeImpl::cool_longest_idle() {
    const auto chosen = scheduler::worker_to_evict(worker_uses());
    if (!chosen) {
        return false;
    }
    instances_.at(*chosen)->cool();
    return true;
}

// One timer for the whole node, set for the next model whose keep-alive ends: while all are at zero
// or busy nothing wakes up.
void NodeImpl::schedule_cooling() {
    const auto pause =
        scheduler::until_next_cooling(worker_uses(), services_.clock.monotonic(), scale_limits_);
    if (!pause) {
        cooling_->cancel();
        return;
    }
    cooling_->start(*pause, [this] { cool_idle_models(); });
}

// What was kept first goes first.
void NodeImpl::bound_retained() {
    for (;;) {
        uint64_t bytes = 0;
        ModelInstance* oldest = nullptr;
        for (const auto& [name, instance] : instances_) {
            const uint64_t held = instance->retained_bytes();
            bytes += held;
            if (held > 0 &&
                (oldest == nullptr || instance->retained_since() < oldest->retained_since())) {
                oldest = instance.get();
            }
        }
        if (oldest == nullptr || bytes <= config_.retained_kv_bytes.value_or(0)) {
            return;
        }
        oldest->store_retained();
    }
}

void NodeImpl::cool_idle_models() {
    for (const std::string& name :
         scheduler::workers_to_cool(worker_uses(), services_.clock.monotonic(), scale_limits_)) {
        instances_.at(name)->cool();
    }
    schedule_cooling();
}

Result<billing::RequestFacts> NodeImpl::facts_of(const GenerateRequest& request,
                                                 const ModelInstance& instance) const {
    const DeploymentRecord& record = instance.record();
    const auto input = parse_price_per_million(record.manifest.price_input);
    const auto cached = parse_price_per_million(record.manifest.price_cached);
    const auto output = parse_price_per_million(record.manifest.price_output);
    if (!input || !cached || !output) {
        return Error{ErrorCode::kInternal, "deployment " + record.name + " has a broken price"};
    }
    billing::RequestFacts facts;
    facts.id = request.id;
    facts.organization = request.organization;
    facts.project = request.project;
    facts.key = request.key;
    facts.model = record.name;
    facts.revision = instance.revision();
    facts.price_input = *input;
    facts.price_cached = *cached;
    facts.price_output = *output;
    facts.currency = record.manifest.currency;
    facts.streamed = request.streamed;
    return facts;
}

// Gate 1, before anything is woken; then the model is woken if need be.
Task<Result<std::unique_ptr<GenerateStream>>> NodeImpl::admit(GenerateRequest request,
                                                              std::shared_ptr<RequestTrace> trace) {
    const auto found = instances_.find(std::string(catalog_.resolve(request.model)));
    if (found == instances_.end()) {
        co_return Error{ErrorCode::kNotFound,
                        fmt::format("the model \"{}\" does not exist here: `rekindle models` shows "
                                    "those that do",
                                    request.model)};
    }
    const std::shared_ptr<ModelInstance> instance = found->second;
    trace->model = instance->record().name;
    trace->revision = instance->revision();
    const api::Manifest& manifest = instance->record().manifest;
    if (!services_.ledger.healthy()) {
        co_return Error{ErrorCode::kUnavailable,
                        "the ledger can't be written, and nothing is served unbilled: see the "
                        "node's log"};
    }
    auto pass = admission_.enter(scheduler::Arrival{
        .model = instance->record().name,
        .prompt_bytes = request.prompt_bytes,
        .prompt_tokens = request.submit.tokens.size(),
        .context_max = instance->record().context_max,
        .requests_max = manifest.queue ? manifest.max_batch + *manifest.queue : 0});
    if (!pass) {
        co_return pass.error();
    }
    if (!instance->has_worker()) {
        const auto room = make_worker_room();
        if (!room) {
            co_return room.error();
        }
    }
    request.submit.salt = salts_.of(request.organization, request.project);
    trace->admitted_at = services_.clock.monotonic();
    auto facts = facts_of(request, *instance);
    if (!facts) {
        co_return facts.error();
    }
    if (!instance->has_worker()) {
        const auto woken = co_await instance->wake_in_turn(instance);
        if (!woken) {
            co_return woken.error();
        }
        wake_others(*instance);
    }
    auto stream = std::make_shared<AnswerStream>(
        AnswerServices{services_.context, services_.clock, ledger_, marks_, watch_},
        std::move(request), std::move(facts).value(), std::move(trace));
    const auto taken = instance->submit(stream);
    if (!taken) {
        co_return taken.error();
    }
    if (manifest.max_wait) {
        stream->limit_wait(*manifest.max_wait);
    }
    stream->hold(std::move(pass).value());
    stream->on_left([this] { request_left_.notify(); });
    co_return make_answer_handle(std::move(stream));
}

Task<Result<std::unique_ptr<GenerateStream>>> NodeImpl::generate(GenerateRequest request) {
    const auto trace = watch_.traces.add(RequestTrace{
        .id = request.id,
        .model = request.model.substr(0, billing::kLedgerNameBytesMax),
        .project = request.project,
        .streamed = request.streamed,
        .accepted_unix_ms =
            std::chrono::duration_cast<std::chrono::milliseconds>(services_.clock.wall()).count(),
        .accepted_at = services_.clock.monotonic()});
    auto admitting = admit(std::move(request), trace);
    auto stream = co_await std::move(admitting);
    if (!stream) {
        trace->ended_at = services_.clock.monotonic();
        trace->error = error_code_name(stream.error().code);
        watch_.metrics.own.admission_refused.add({trace->error}, 1);
    }
    co_return stream;
}

Task<Result<std::vector<billing::UsageRow>>> NodeImpl::usage(billing::UsageQuery query) {
    auto work = [&ledger = services_.ledger, query = std::move(query)] {
        return ledger.usage(query);
    };
    auto reading = offload(compute_, std::move(work));
    auto rows = co_await std::move(reading);
    co_return rows;
}

Task<Result<billing::UsageFinal>> NodeImpl::find_request(billing::RequestId id) {
    auto work = [&ledger = services_.ledger, id] { return ledger.find(id); };
    auto reading = offload(compute_, std::move(work));
    auto record = co_await std::move(reading);
    co_return record;
}

Task<> NodeImpl::drain(std::chrono::milliseconds deadline) {
    draining_ = true;
    if (const auto bench = bench_.lock()) {
        bench->end(Error{ErrorCode::kUnavailable, "this node is shutting down"});
    }
    for (const auto& [name, instance] : instances_) {
        instance->changed().notify();  // Who waits to cool a model gives up.
    }
    admission_.drain();
    cancel_imports_ = true;
    const std::unique_ptr<Timer> timer = services_.timers.make("drain");
    bool late = false;
    timer->start(deadline, [this, &late] {
        late = true;
        request_left_.notify();
    });
    while (admission_.inside() > 0 && !late) {
        co_await request_left_.wait();
    }
    if (admission_.inside() > 0) {
        log_warning("drain_incomplete", {{"requests", admission_.inside()}});
    }
}

Task<> NodeImpl::stop() {
    draining_ = true;
    cancel_imports_ = true;
    while (deploying_) {
        co_await deploy_ended_.wait();
    }
    cooling_->cancel();
    pool_.stop();
    for (const auto& [name, instance] : instances_) {
        if (!instance->busy()) {
            instance->cool();
            instance->store_retained();
        }
        instance->end_for_good();
    }
    if (services_.arriving != nullptr) {
        services_.arriving->stop();
    }
    co_await gate_.close();
    instances_.clear();
    compute_.stop_and_join();
    transfers_.stop_and_join();
}

}  // namespace rekindle::daemon
