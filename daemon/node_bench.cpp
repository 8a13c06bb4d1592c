// Benches: the part of the node that checks what is asked for and makes room for it.
#include "base/units.h"
#include "daemon/node_impl.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace rekindle::daemon {
namespace {

Result<void> check_context(const BenchSpec& spec, const DeploymentRecord& record) {
    const uint64_t longest = std::max<uint64_t>(spec.prefill, uint64_t{spec.prompt} + spec.answer);
    if (longest > record.context_max) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("a sequence of {} tokens is longer than {}'s context of {}: lower "
                                 "prefill, or prompt and answer",
                                 longest, record.name, record.context_max)};
    }
    return {};
}

// Of the largest case: they run one after the other.
uint64_t kv_bytes_for(const BenchSpec& spec, const ImageFacts& facts, kernels::KvType type) {
    const uint32_t batch = *std::max_element(spec.batches.begin(), spec.batches.end());
    const uint64_t of_batch = batch * facts.kv_bytes(uint64_t{spec.prompt} + spec.answer, type);
    return align_up(std::max(of_batch, facts.kv_bytes(spec.prefill, type)), kPageBytes);
}

}  // namespace

std::vector<std::string> NodeImpl::work_now() const {
    std::vector<std::string> work;
    for (const auto& [name, instance] : instances_) {
        if (instance->busy()) {
            work.push_back("model " + name);
        }
    }
    if (deploying_) {
        work.emplace_back("a deployment");
    }
    return work;
}

Task<Result<std::unique_ptr<BenchStream>>> NodeImpl::bench(BenchSpec spec) {
    const auto found = instances_.find(std::string(catalog_.resolve(spec.model)));
    if (found == instances_.end()) {
        co_return Error{ErrorCode::kNotFound,
                        fmt::format("no model named \"{}\" is deployed", spec.model)};
    }
    const DeploymentRecord record = found->second->record();
    const auto fits = check_context(spec, record);
    if (!fits) {
        co_return fits.error();
    }
    if (!bench_.expired()) {
        co_return Error{ErrorCode::kConflict,
                        "another bench is running on this node: wait for its end"};
    }
    BenchServices services{
        .context = services_.context, .pool = pool_, .tier = services_.tier, .work_now = [this] {
            return work_now();
        }};
    const kernels::KvType kv_type = kv_type_of(record.manifest);
    auto bench =
        std::make_shared<ModelBench>(std::move(services), spec, record,
                                     BenchWorker{.threads = config_.threads,
                                                 .kv_type = kv_type,
                                                 .guesses = found->second->watch().guesses()});
    bench_ = bench;  // From here on there is no other.
    auto facts = co_await facts_of_image(record.image);
    if (!facts) {
        co_return facts.error();
    }
    const uint64_t kv_bytes = kv_bytes_for(spec, *facts, kv_type);
    if (kv_bytes > config_.host_memory_bytes) {
        co_return Error{
            ErrorCode::kInvalidArgument,
            fmt::format("batches: the largest one needs {} of KV memory, more than "
                        "this node's {} of host memory: lower batches, prompt or answer",
                        format_bytes(kv_bytes), format_bytes(config_.host_memory_bytes))};
    }
    if (draining_) {
        co_return Error{ErrorCode::kUnavailable, "this node is shutting down"};
    }
    const auto room = make_worker_room();
    auto started = room ? bench->start(kv_bytes) : room;
    // As a model that wakes: others that nobody uses make room.
    while (!started && started.error().code == ErrorCode::kResourceExhausted && !draining_ &&
           (pool_.leaving() > 0 || cool_longest_idle())) {
        co_await pool_.left().wait();
        started = bench->start(kv_bytes);
    }
    if (!started) {
        co_return started.error();
    }
    co_return make_bench_stream(std::move(bench));
}

}  // namespace rekindle::daemon
