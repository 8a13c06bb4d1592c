// What the node has from elsewhere: model files that it fetches, images that it pushes and pulls.
#include "base/log.h"
#include "daemon/download.h"
#include "daemon/node_impl.h"
#include "loader/remote/remote_image.h"

#include <boost/asio/post.hpp>
#include <fmt/format.h>

#include <utility>

namespace rekindle::daemon {
namespace {

// What a transfer's threads call: told on the io thread.
remote::OnTransfer posted(asio::io_context& context, Node::OnProgress on_progress,
                          std::string phase) {
    return [&context, on_progress = std::move(on_progress), phase = std::move(phase)](
               uint64_t done, uint64_t total) {
        asio::post(context,
                   [on_progress, phase, done, total] { on_progress({phase, done, total}); });
    };
}

TransferInfo transfer_info(const remote::TransferReport& report) {
    return TransferInfo{.image = report.image,
                        .image_bytes = report.image_bytes,
                        .chunks = report.chunks,
                        .chunks_moved = report.chunks_moved,
                        .bytes_moved = report.bytes_moved,
                        .name = {},
                        .manifest = {}};
}

}  // namespace

remote::Cancelled NodeImpl::until_left(std::shared_ptr<const std::atomic<bool>> client_left) {
    return [this, client_left = std::move(client_left)] {
        return cancel_imports_ || (client_left && *client_left);
    };
}

remote::SourceContext NodeImpl::remote_context() const {
    return {config_.remote, environment_, services_.clock};
}

Task<Result<std::shared_ptr<Download>>> NodeImpl::fetch_file(const DeploySpec* spec,
                                                             OnProgress on_progress) {
    auto checked = check_manifest(spec->manifest);
    if (!checked) {
        co_return std::move(checked).error();
    }
    DownloadOrder order{.folder = services_.folder.at("downloads"),
                        .address = std::string(spec->manifest.address()),
                        .context = remote_context(),
                        .cancelled = until_left(spec->cancelled),
                        .on_progress = posted(services_.context, std::move(on_progress), "fetch")};
    auto work = [order = std::move(order)]() -> Result<std::shared_ptr<Download>> {
        auto fetched = download(order);
        if (!fetched) {
            return std::move(fetched).error();
        }
        return std::make_shared<Download>(std::move(fetched).value());
    };
    auto fetching = offload(transfers_, std::move(work));
    auto fetched = co_await std::move(fetching);
    co_return fetched;
}

Task<Result<DeploymentInfo>> NodeImpl::deploy_fetched(DeploySpec spec, OnProgress on_progress) {
    auto fetched = co_await fetch_file(&spec, on_progress);
    if (!fetched) {
        co_return std::move(fetched).error();
    }
    const std::shared_ptr<Download> file = *fetched;
    auto source = file->file.duplicate();
    if (!source) {
        co_return std::move(source).error();
    }
    auto info =
        co_await deploy_source(std::move(spec), std::move(source).value(), std::move(on_progress));
    if (info || info.error().code != ErrorCode::kCancelled) {
        file->discard();
    }
    co_return info;
}

Task<Result<TransferInfo>> NodeImpl::push(TransferSpec spec, OnProgress on_progress) {
    const auto found = instances_.find(std::string(catalog_.resolve(spec.what)));
    if (found == instances_.end()) {
        co_return Error{ErrorCode::kNotFound,
                        fmt::format("no model named \"{}\" is deployed", spec.what)};
    }
    const DeploymentRecord& record = found->second->record();
    remote::PushOrder order{.image = record.image,
                            .name = spec.name,
                            .manifest = record.manifest.with_image(record.image)};
    remote::RemotePlace place{spec.remote, remote_context(), until_left(spec.cancelled)};
    auto told = posted(services_.context, std::move(on_progress), "push");
    auto work = [&store = services_.store, order = std::move(order), place = std::move(place),
                 told = std::move(told)] { return push_image(store, order, place, told); };
    auto pushing = offload(transfers_, std::move(work));
    auto report = co_await std::move(pushing);
    if (!report) {
        co_return std::move(report).error().with_context("push");
    }
    log_info("image_pushed", {{"image", report->image},
                              {"name", spec.name},
                              {"chunks_moved", report->chunks_moved},
                              {"bytes_moved", report->bytes_moved}});
    TransferInfo info = transfer_info(*report);
    info.name = spec.name;
    co_return info;
}

bool NodeImpl::is_arriving(const std::string& image) const {
    return services_.arriving != nullptr && services_.arriving->find(image) != nullptr;
}

Task<Result<std::string>> NodeImpl::find_index(std::string digest) {
    auto work = [&store = services_.store, arriving = services_.arriving,
                 digest = std::move(digest)]() -> Result<std::string> {
        const auto coming = arriving == nullptr ? nullptr : arriving->find(digest);
        if (coming != nullptr) {
            return coming->index_json();
        }
        return store.image_index(digest);
    };
    auto reading = offload(compute_, std::move(work));
    auto index = co_await std::move(reading);
    co_return index;
}

Result<TransferInfo> NodeImpl::begin_arrival(const remote::RemoteImage& image,
                                             const std::string& address) {
    const auto index = loader::ImageIndex::parse(image.index_json);
    if (!index) {
        return index.error().with_context("image sha256:" + image.digest);
    }
    auto added = services_.arriving->add(image, address);
    if (!added) {
        return std::move(added).error();
    }
    return TransferInfo{.image = image.digest,
                        .image_bytes = index->bytes,
                        .chunks = remote::different_chunks(*index).size(),
                        .name = {},
                        .manifest = image.manifest,
                        .arriving = services_.arriving->find(image.digest) != nullptr};
}

Task<Result<TransferInfo>> NodeImpl::pull(TransferSpec spec, OnProgress on_progress) {
    remote::RemotePlace place{spec.remote, remote_context(), until_left(spec.cancelled)};
    auto told = posted(services_.context, std::move(on_progress), "pull");
    const auto now = std::chrono::duration_cast<std::chrono::seconds>(services_.clock.wall());
    // Marked before its first chunk comes: a collection that runs beside the pull lets it be.
    auto work = [this, now, &store = services_.store, what = spec.what, place = std::move(place),
                 told = std::move(told), serve = spec.serve]() -> Result<TransferInfo> {
        auto image = remote::find_image(place, what);
        if (!image) {
            return std::move(image).error();
        }
        if (auto marked = pulled_.add(image->digest, now); !marked) {
            return std::move(marked).error();
        }
        if (serve) {
            return begin_arrival(*image, place.address);
        }
        auto report = remote::pull_image(store, *image, place, told);
        if (!report) {
            return std::move(report).error();
        }
        TransferInfo info = transfer_info(*report);
        info.manifest = std::move(image->manifest);
        return info;
    };
    auto pulling = offload(transfers_, std::move(work));
    auto info = co_await std::move(pulling);
    if (!info) {
        co_return std::move(info).error().with_context("pull");
    }
    log_info(info->arriving ? "image_arrives" : "image_pulled",
             {{"image", info->image},
              {"chunks_moved", info->chunks_moved},
              {"bytes_moved", info->bytes_moved}});
    co_return info;
}

}  // namespace rekindle::daemon
