#include "daemon/node_impl.h"

#include "base/log.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace rekindle::daemon {
namespace {

// Requests in the node at once, over all models and for one: beyond, clients are told to come back.
constexpr uint32_t kRequestsMax = 4096;
constexpr uint32_t kRequestsPerModelMax = 1024;
constexpr uint32_t kSequencesMax = 64;  // Of one worker's batch; further ones wait inside it.
constexpr size_t kComputeThreads = 2;   // Imports and reports.

}  // namespace

NodeImpl::NodeImpl(NodeServices services, Config config, Catalog catalog)
    : services_(std::move(services)), config_(std::move(config)), catalog_(std::move(catalog)),
      gate_(services_.context), compute_(kComputeThreads),
      pool_(services_.context, gate_, services_.worker_executable, config_.spare_workers),
      marks_(services_.context, services_.ledger), request_left_(services_.context),
      deploy_ended_(services_.context) {
    for (const DeploymentRecord& record : catalog_.records()) {
        instances_.emplace(record.name, make_instance(record));
    }
}

NodeImpl::~NodeImpl() = default;

Result<void> NodeImpl::start() { return pool_.start(); }

std::shared_ptr<ModelInstance> NodeImpl::make_instance(const DeploymentRecord& record) {
    InstanceServices services{.context = services_.context,
                              .clock = services_.clock,
                              .pool = pool_,
                              .tier = services_.tier,
                              .make_room = [this] { return cool_longest_idle(); }};
    InstanceOptions options{
        .keep_alive = record.idle_ms ? std::chrono::milliseconds(*record.idle_ms) : config_.idle,
        .kv_bytes = config_.kv_memory_bytes,
        .threads = config_.threads,
        .sequences_max = kSequencesMax};
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
                        .created_unix_s = record.created_unix_s,
                        .price_input = record.price_input,
                        .price_output = record.price_output,
                        .currency = record.currency};
    instance.describe(info);
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
    const auto found = instances_.find(name);
    if (found == instances_.end()) {
        return Error{ErrorCode::kNotFound, fmt::format("no model named \"{}\" is deployed", name)};
    }
    return info_of(*found->second);
}

uint32_t NodeImpl::live_workers() const {
    return static_cast<uint32_t>(std::count_if(
        instances_.begin(), instances_.end(),
        [](const auto& entry) { return entry.second->has_worker(); }));
}

bool NodeImpl::cool_longest_idle() {
    std::shared_ptr<ModelInstance> oldest;
    for (const auto& [name, instance] : instances_) {
        const auto since = instance->idle_since();
        if (!instance->has_worker() || instance->held() || !since) {
            continue;
        }
        if (oldest == nullptr || *since < *oldest->idle_since()) {
            oldest = instance;
        }
    }
    if (oldest == nullptr) {
        return false;
    }
    oldest->cool();
    return true;
}

Result<billing::RequestFacts> NodeImpl::facts_of(const GenerateRequest& request,
                                                 const ModelInstance& instance) const {
    const DeploymentRecord& record = instance.record();
    const auto input = parse_price_per_million(record.price_input);
    const auto cached = parse_price_per_million(record.price_cached);
    const auto output = parse_price_per_million(record.price_output);
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
    facts.currency = record.currency;
    facts.streamed = request.streamed;
    return facts;
}

Task<Result<std::unique_ptr<GenerateStream>>> NodeImpl::generate(GenerateRequest request) {
    const auto found = instances_.find(request.model);
    if (found == instances_.end()) {
        co_return Error{ErrorCode::kNotFound,
                        fmt::format("the model \"{}\" does not exist here: `rekindle models` shows "
                                    "those that do",
                                    request.model)};
    }
    const std::shared_ptr<ModelInstance> instance = found->second;
    // Gate 1: before anything is woken.
    if (draining_) {
        co_return Error{ErrorCode::kUnavailable, "this node is shutting down"};
    }
    if (!services_.ledger.healthy()) {
        co_return Error{ErrorCode::kUnavailable,
                        "the ledger can't be written, and nothing is served unbilled: see the "
                        "node's log"};
    }
    if (active_requests_ >= kRequestsMax || instance->active() >= kRequestsPerModelMax) {
        co_return Error{ErrorCode::kOverloaded,
                        fmt::format("{} requests are waiting already: try again later",
                                    std::max(active_requests_, instance->active()))};
    }
    if (!instance->has_worker() && live_workers() >= config_.workers_max &&
        !cool_longest_idle()) {
        co_return Error{ErrorCode::kOverloaded,
                        fmt::format("all {} workers are busy with other models: try again later",
                                    config_.workers_max)};
    }
    auto facts = facts_of(request, *instance);
    if (!facts) {
        co_return facts.error();
    }
    auto stream = std::make_shared<AnswerStream>(
        AnswerServices{services_.context, services_.clock, services_.ledger, marks_},
        std::move(request), std::move(facts).value());
    const auto taken = instance->submit(stream);
    if (!taken) {
        co_return taken.error();
    }
    ++active_requests_;
    stream->on_left([this] {
        --active_requests_;
        request_left_.notify();
    });
    co_return make_answer_handle(std::move(stream));
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
    cancel_imports_ = true;
    asio::steady_timer timer(services_.context);
    timer.expires_after(deadline);
    bool late = false;
    timer.async_wait([this, &late](const boost::system::error_code& ec) {
        if (!ec) {
            late = true;
            request_left_.notify();
        }
    });
    while (active_requests_ > 0 && !late) {
        co_await request_left_.wait();
    }
    if (active_requests_ > 0) {
        log_warning("drain_incomplete", {{"requests", active_requests_}});
    }
}

Task<> NodeImpl::stop() {
    draining_ = true;
    cancel_imports_ = true;
    while (deploying_) {
        co_await deploy_ended_.wait();
    }
    pool_.stop();
    for (const auto& [name, instance] : instances_) {
        instance->end_for_good();
    }
    co_await gate_.close();
    instances_.clear();
    compute_.stop_and_join();
}

}  // namespace rekindle::daemon
