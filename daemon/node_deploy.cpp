// Deploying and undeploying: the part of the node that changes the catalog.
#include "base/async/spawn.h"
#include "base/log.h"
#include "daemon/importer.h"
#include "daemon/node_impl.h"
#include "loader/image_index.h"

#include <boost/asio/post.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace rekindle::daemon {
namespace {

struct StoredImage {
    std::string digest;
    std::string architecture;
    uint64_t bytes = 0;
};

// Runs on a compute thread: the importer reads the model file, the store keeps what it makes. All
// or nothing: on any failure the chunks are given back.
struct ImportJob {
    std::string worker_executable;
    loader::ChunkStore& store;
    UniqueFd source;
    const std::atomic<bool>& cancelled;
    std::function<void(DeployProgress)> on_progress;

    Result<StoredImage> run() {
        auto image = import_and_store();
        if (!image) {
            store.rollback();
        }
        return image;
    }

private:
    Result<StoredImage> import_and_store() {
        std::vector<loader::ImageChunk> chunks;
        uint64_t offset = 0;
        const auto sink = [&](uint64_t at, std::span<const std::byte> plain,
                              bool compress) -> Result<void> {
            if (at != offset) {
                return Error{ErrorCode::kCorrupt, "the importer wrote its chunks out of order"};
            }
            auto chunk = store.put(plain, compress);
            if (!chunk) {
                return chunk.error();
            }
            chunk->offset = at;
            offset += plain.size();
            chunks.push_back(std::move(chunk).value());
            return {};
        };
        auto outcome = run_importer(
            ImporterOptions{.executable = worker_executable}, std::move(source), sink,
            [this](uint64_t done, uint64_t total) {
                on_progress(DeployProgress{"import", done, total});
            },
            cancelled);
        if (!outcome) {
            return outcome.error();
        }
        return keep(outcome->index_json, chunks);
    }

    Result<StoredImage> keep(const std::string& importer_index,
                             const std::vector<loader::ImageChunk>& chunks) {
        const auto index = loader::finish_image_index(importer_index, chunks);
        if (!index) {
            return index.error();
        }
        const auto digest = loader::image_digest(*index);
        if (!digest) {
            return digest.error();
        }
        const auto committed = store.commit();
        if (!committed) {
            return committed.error();
        }
        const auto added = store.add_image(*digest, *index);
        if (!added) {
            return added.error();
        }
        const auto parsed = loader::ImageIndex::parse(*index);
        if (!parsed) {
            return parsed.error();
        }
        return StoredImage{*digest, parsed->architecture, parsed->bytes};
    }
};

Result<void> check_spec(const DeploySpec& spec) {
    if (!is_deployment_name(spec.name)) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("name \"{}\": use up to 63 of a-z, 0-9, '.', '_' and '-', "
                                 "beginning with a letter or digit",
                                 spec.name)};
    }
    for (const auto& [what, text] : {std::pair{"price_input", &spec.price_input},
                                     std::pair{"price_output", &spec.price_output},
                                     std::pair{"price_cached", &spec.price_cached}}) {
        const auto price = parse_price_per_million(*text);
        if (!price) {
            return price.error().with_context(what);
        }
    }
    const bool currency_ok =
        spec.currency.size() == 3 && std::all_of(spec.currency.begin(), spec.currency.end(),
                                                 [](char c) { return c >= 'A' && c <= 'Z'; });
    if (!currency_ok) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("currency \"{}\": use a code of three capital letters such as USD",
                                 spec.currency)};
    }
    return {};
}

}  // namespace

Task<Result<DeploymentRecord>> NodeImpl::import_source(DeploySpec spec, UniqueFd source,
                                                       OnProgress on_progress) {
    auto post_progress = [&context = services_.context,
                          on_progress = std::move(on_progress)](DeployProgress progress) {
        asio::post(context,
                   [on_progress, progress = std::move(progress)] { on_progress(progress); });
    };
    auto job = std::make_shared<ImportJob>(ImportJob{services_.worker_executable, services_.store,
                                                     std::move(source), cancel_imports_,
                                                     std::move(post_progress)});
    auto work = [job] { return job->run(); };
    auto importing = offload(compute_, std::move(work));
    auto image = co_await std::move(importing);
    if (!image) {
        co_return image.error();
    }
    DeploymentRecord record;
    record.name = spec.name;
    record.image = image->digest;
    record.price_input = spec.price_input;
    record.price_output = spec.price_output;
    record.price_cached = spec.price_cached;
    record.currency = spec.currency;
    if (spec.idle) {
        record.idle_ms = spec.idle->count();
    }
    record.context = spec.context;
    record.created_unix_s =
        std::chrono::duration_cast<std::chrono::seconds>(services_.clock.wall()).count();
    record.architecture = image->architecture;
    record.image_bytes = image->bytes;
    co_return record;
}

Task<Result<DeploymentInfo>> NodeImpl::deploy(DeploySpec spec, UniqueFd source,
                                              OnProgress on_progress) {
    const auto checked = check_spec(spec);
    if (!checked) {
        co_return checked.error();
    }
    while (deploying_) {  // The chunk store takes one image at a time.
        co_await deploy_ended_.wait();
    }
    if (draining_) {
        co_return Error{ErrorCode::kUnavailable, "this node is shutting down"};
    }
    deploying_ = true;
    auto info = co_await deploy_locked(std::move(spec), std::move(source), std::move(on_progress));
    deploying_ = false;
    deploy_ended_.notify();
    co_return info;
}

Task<Result<DeploymentInfo>> NodeImpl::deploy_locked(DeploySpec spec, UniqueFd source,
                                                     OnProgress on_progress) {
    auto imported = co_await import_source(std::move(spec), std::move(source), on_progress);
    if (!imported) {
        co_return imported.error();
    }
    DeploymentRecord record = std::move(imported).value();
    // A revision is live only after a worker has accepted its image.
    on_progress(DeployProgress{"check", 0, 1});
    auto candidate = make_instance(record);
    auto assigned = co_await candidate->warm(candidate);
    if (assigned && !draining_) {
        record.context_max = assigned->context_max;
        auto stored = catalog_.put(record);
        if (!stored) {
            assigned = stored.error();
        }
    }
    if (!assigned) {
        candidate->end_for_good();
        if (!catalog_.uses_image(record.image)) {
            auto forgotten = co_await forget_image(record.image);
            static_cast<void>(forgotten);  // The first fault is the one to report.
        }
        co_return assigned.error();
    }
    candidate->set_context_max(record.context_max);
    on_progress(DeployProgress{"check", 1, 1});
    auto& slot = instances_[record.name];
    const std::shared_ptr<ModelInstance> replaced = std::exchange(slot, candidate);
    schedule_cooling();  // Its keep-alive runs from now on, even if nobody ever calls it.
    log_info("deployed", {{"model", record.name}, {"image", record.image}});
    if (replaced != nullptr) {
        auto retiring = retire(replaced);
        static_cast<void>(
            spawn(services_.context, "retire_" + record.name, gate_, std::move(retiring)));
    }
    co_return info_of(*candidate);
}

// The old revision finishes what it is answering, then its worker ends and its image goes unless
// another deployment uses it.
Task<> NodeImpl::retire(std::shared_ptr<ModelInstance> instance) {
    co_await instance->drained(instance);
    instance->end_for_good();
    const std::string image = instance->record().image;
    if (!catalog_.uses_image(image)) {
        auto forgotten = co_await forget_image(image);
        if (!forgotten) {
            log_warning("image_not_removed",
                        {{"image", image}, {"reason", forgotten.error().message}});
        }
    }
}

Task<Result<void>> NodeImpl::forget_image(std::string digest) {
    auto work = [&store = services_.store, &tier = services_.tier, digest]() -> Result<uint64_t> {
        const auto evicted = tier.evict(digest);
        static_cast<void>(evicted);  // Not resident, or held until its worker is reaped.
        const auto removed = store.remove_image(digest);
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
    log_info("image_removed", {{"image", digest}, {"bytes_freed", *freed}});
    co_return Result<void>();
}

Task<Result<void>> NodeImpl::undeploy(std::string name) {
    const auto found = instances_.find(name);
    if (found == instances_.end()) {
        co_return Error{ErrorCode::kNotFound,
                        fmt::format("no model named \"{}\" is deployed", name)};
    }
    const auto removed = catalog_.remove(name);
    if (!removed) {
        co_return removed.error();
    }
    const std::shared_ptr<ModelInstance> instance = found->second;
    instances_.erase(found);
    co_await retire(instance);
    log_info("undeployed", {{"model", name}});
    co_return Result<void>();
}

}  // namespace rekindle::daemon
