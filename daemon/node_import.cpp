// Where a deployment's image comes from: a model file that the importer reads, or the store. And
// what a deployment would need, told without making one.
#include "base/hash.h"
#include "daemon/image_facts.h"
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
    std::shared_ptr<const std::atomic<bool>> client_left;  // Null: nobody can leave.
    std::string pin;  // Digest that file or image must have; empty: any.
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
    // Whether the model file's own digest is the pinned one. Read before it is imported: the
    // importer notices a change of the file from then on.
    Result<bool> file_is_pinned() {
        const auto bytes = file_bytes(source.get());
        if (!bytes) {
            return bytes.error();
        }
        Sha256 hash;
        std::vector<std::byte> part(kMiB);
        for (uint64_t at = 0; at < *bytes; at += part.size()) {
            if (cancelled) {
                return Error{ErrorCode::kCancelled, "the import was cancelled"};
            }
            const uint64_t size = std::min<uint64_t>(part.size(), *bytes - at);
            const std::span<std::byte> room = std::span(part).first(static_cast<size_t>(size));
            const auto read = read_exact_at(source.get(), room, at);
            if (!read) {
                return read.error();
            }
            hash.update(room);
            on_progress(DeployProgress{"verify", at + size, *bytes});
        }
        return to_hex(hash.finish()) == pin;
    }

    Result<StoredImage> import_and_store() {
        bool pinned = pin.empty();
        if (!pinned) {
            const auto same = file_is_pinned();
            if (!same) {
                return same.error();
            }
            pinned = *same;
        }
        auto outcome_and_chunks = import_chunks();
        if (!outcome_and_chunks) {
            return outcome_and_chunks.error();
        }
        return keep(outcome_and_chunks->index_json, outcome_and_chunks->chunks, pinned);
    }

    struct Imported {
        std::string index_json;
        std::vector<loader::ImageChunk> chunks;
    };

    Result<Imported> import_chunks() {
        std::vector<loader::ImageChunk> chunks;
        uint64_t offset = 0;
        const auto sink = [&](uint64_t at, std::span<const std::byte> plain,
                              bool compress) -> Result<void> {
            if (client_left && *client_left) {
                return Error{ErrorCode::kCancelled, "the import was cancelled"};
            }
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
        return Imported{std::move(outcome->index_json), std::move(chunks)};
    }

    Result<StoredImage> keep(const std::string& importer_index,
                             const std::vector<loader::ImageChunk>& chunks, bool pinned) {
        const auto index = loader::finish_image_index(importer_index, chunks);
        if (!index) {
            return index.error();
        }
        const auto digest = loader::image_digest(*index);
        if (!digest) {
            return digest.error();
        }
        if (!pinned && *digest != pin) {
            return Error{ErrorCode::kConflict,
                         fmt::format("digest: neither the model file nor its image (sha256:{}) is "
                                     "the pinned sha256:{}: check the file, or the pin",
                                     *digest, pin)};
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

}  // namespace

Task<Result<DeploymentRecord>> NodeImpl::import_source(const DeploySpec* spec, UniqueFd source,
                                                       OnProgress on_progress) {
    auto post_progress = [&context = services_.context,
                          on_progress = std::move(on_progress)](DeployProgress progress) {
        asio::post(context,
                   [on_progress, progress = std::move(progress)] { on_progress(progress); });
    };
    auto job = std::make_shared<ImportJob>(
        ImportJob{services_.worker_executable, services_.store, std::move(source), spec->cancelled,
                  spec->manifest.digest, cancel_imports_, std::move(post_progress)});
    auto work = [job] { return job->run(); };
    auto importing = offload(compute_, std::move(work));
    auto image = co_await std::move(importing);
    if (!image) {
        co_return image.error();
    }
    auto record = make_record(spec->manifest, image->digest);
    if (record) {
        record->architecture = image->architecture;
        record->image_bytes = image->bytes;
    }
    co_return record;
}

Task<Result<DeploymentRecord>> NodeImpl::record_of_image(api::Manifest manifest) {
    const std::string digest(manifest.image());
    if (!manifest.digest.empty() && manifest.digest != digest) {
        co_return Error{ErrorCode::kConflict,
                        fmt::format("digest: the image sha256:{} is not the pinned sha256:{}",
                                    digest, manifest.digest)};
    }
    auto finding = find_index(digest);
    auto index = co_await std::move(finding);
    if (!index && index.error().code == ErrorCode::kNotFound) {
        co_return Error{ErrorCode::kNotFound,
                        fmt::format("model: this node has no image sha256:{}: deploy its model "
                                    "file",
                                    digest)};
    }
    const auto parsed = index ? loader::ImageIndex::parse(*index) : index.error();
    if (!parsed) {
        co_return parsed.error();
    }
    auto record = make_record(manifest, digest);
    if (record) {
        record->architecture = parsed->architecture;
        record->image_bytes = parsed->bytes;
    }
    co_return record;
}

}  // namespace rekindle::daemon
