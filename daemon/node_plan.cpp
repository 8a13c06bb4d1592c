// What a deployment would need, told without making one: the model file's metadata is read by the
// confined importer, an image's from the store.
#include "daemon/image_facts.h"
#include "daemon/importer.h"
#include "daemon/node_impl.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace rekindle::daemon {
namespace {

// Runs on a compute thread.
Result<ImageFacts> facts_of_file(const std::string& worker_executable, UniqueFd source,
                                 const std::atomic<bool>& cancelled) {
    const auto no_chunks = [](uint64_t, std::span<const std::byte>, bool) -> Result<void> {
        return Error{ErrorCode::kInternal, "a plan has no chunks"};
    };
    const auto outcome = run_importer(
        {.executable = worker_executable, .plan_only = true}, std::move(source), no_chunks,
        [](uint64_t, uint64_t) {}, cancelled);
    return outcome ? parse_image_facts(outcome->index_json) : outcome.error();
}

// What the worker would say, in its words.
Result<uint32_t> usable_context(const api::Manifest& manifest, const ImageFacts& facts,
                                uint64_t kv_bytes, kernels::KvType kv_type) {
    const uint64_t pages = kv_bytes / facts.kv_page_bytes(kv_type);
    const uint64_t of_memory = pages * kernels::kPageTokens;
    if (manifest.context > facts.context) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("runtime.context: {} tokens are longer than the model's own "
                                 "context of {}: lower it, or leave it out",
                                 manifest.context, facts.context)};
    }
    const uint64_t asked = manifest.context == 0 ? 1 : manifest.context;
    if (asked > of_memory) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("runtime.kv: {} bytes hold a context of {} tokens: raise it, or "
                                 "lower runtime.context",
                                 kv_bytes, of_memory)};
    }
    const uint64_t wanted = manifest.context == 0 ? facts.context : manifest.context;
    return static_cast<uint32_t>(std::min(wanted, of_memory));
}

}  // namespace

Task<Result<ImageFacts>> NodeImpl::facts_of_image(std::string digest) {
    auto finding = find_index(std::move(digest));
    const auto index = co_await std::move(finding);
    if (!index) {
        co_return index.error();
    }
    auto work = [&text = *index] { return parse_image_facts(text); };
    auto parsing = offload(compute_, std::move(work));
    auto facts = co_await std::move(parsing);
    co_return facts;
}

Task<Result<DeployPlan>> NodeImpl::plan(DeploySpec spec, UniqueFd source) {
    api::Manifest& manifest = spec.manifest;
    const auto checked = check_manifest(manifest);
    const auto resolved = checked ? resolve_draft(manifest) : checked;
    if (!resolved) {
        co_return resolved.error();
    }
    if (!manifest.address().empty()) {
        co_return Error{ErrorCode::kUnsupported,
                        "model: what a file needs is known when it is here: a dry run does not "
                        "fetch it; deploy it, or fetch it and name its path"};
    }
    std::string revision;
    Result<ImageFacts> facts = ImageFacts{};
    if (!manifest.image().empty()) {
        auto record = co_await record_of_image(manifest);
        if (!record) {
            co_return record.error();
        }
        revision = record->revision;
        facts = co_await facts_of_image(record->image);
    } else {
        auto file = std::make_shared<UniqueFd>(std::move(source));
        auto work = [this, file] {
            return facts_of_file(services_.worker_executable, std::move(*file), cancel_imports_);
        };
        auto reading = offload(compute_, std::move(work));
        facts = co_await std::move(reading);
    }
    if (!facts) {
        co_return facts.error();
    }
    const kernels::KvType kv_type = kv_type_of(manifest);
    DeployPlan plan{.name = manifest.name,
                    .architecture = facts->architecture,
                    .revision = std::move(revision),
                    .weights_bytes = facts->bytes,
                    .tensors = facts->tensors,
                    .kv_bytes = kv_bytes_of(manifest),
                    .kv_type = manifest.kv_type,
                    .price_input = manifest.price_input,
                    .price_output = manifest.price_output,
                    .price_cached = manifest.price_cached,
                    .currency = manifest.currency};
    auto splitting = planned_kv_bytes(&manifest, *facts);
    const auto model_kv = co_await std::move(splitting);
    if (!model_kv) {
        co_return model_kv.error();
    }
    const auto context = usable_context(manifest, *facts, *model_kv, kv_type);
    if (!context) {
        co_return context.error();
    }
    plan.context = *context;
    plan.kv_bytes_per_sequence = facts->kv_bytes(plan.context, kv_type);
    if (plan.weights_bytes > config_.host_memory_bytes) {
        co_return Error{ErrorCode::kResourceExhausted,
                        fmt::format("the weights take {} bytes, this node has {} for images "
                                    "(--host-memory)",
                                    plan.weights_bytes, config_.host_memory_bytes)};
    }
    if (restore_bytes_per_s_) {
        const double seconds = static_cast<double>(facts->bytes) / *restore_bytes_per_s_;
        plan.restore = std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000) + 1);
    }
    if (const DeploymentEntry* entry = catalog_.find(manifest.name)) {
        plan.replaces = entry->current.revision;
    }
    co_return plan;
}

}  // namespace rekindle::daemon
