#include "daemon/restore.h"

#include "base/random.h"
#include "billing/ledger.h"
#include "daemon/archive_reader.h"
#include "daemon/catalog.h"
#include "daemon/data_folder.h"
#include "daemon/key_store.h"
#include "loader/chunk_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>
#include <unistd.h>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace rekindle::daemon {
namespace {

// Puts each file of a backup where it belongs in a data folder.
class FolderSink final : public ArchiveSink {
public:
    explicit FolderSink(const DataFolder& folder) : folder_(folder) {}

    Result<void> begin(std::string_view name, uint64_t bytes) override;
    Result<void> part(std::span<const std::byte> bytes) override;
    Result<void> end() override;
    // After the last file.
    Result<void> finish() { return finish_image(); }

private:
    enum class Kind { kFile, kImage, kChunk };
    Result<void> begin_file();
    Result<void> end_image();
    Result<void> end_chunk();
    Result<void> finish_image();
    Result<void> open_store();

    const DataFolder& folder_;
    std::string name_;
    Kind kind_ = Kind::kFile;
    UniqueFd file_;
    std::string text_;  // Of an image index or chunk.
    std::unique_ptr<loader::ChunkStore> store_;
    // The image whose chunks are coming.
    std::string digest_;
    std::string index_json_;
    std::unordered_map<loader::ChunkId, loader::ChunkCodec> codecs_;
};

Result<void> FolderSink::begin(std::string_view name, uint64_t bytes) {
    name_ = name;
    text_.clear();
    const std::string_view top = name.substr(0, name.find('/'));
    if (top == "deployments" || top == "keys" || top == "ledger") {
        kind_ = Kind::kFile;
        return begin_file();
    }
    kind_ = top == "images" ? Kind::kImage : Kind::kChunk;
    const uint64_t bytes_max =
        kind_ == Kind::kImage ? loader::kImageIndexBytesMax : loader::kChunkBytesMax;
    if ((top != "images" && top != "chunks") || bytes > bytes_max) {
        return Error{ErrorCode::kCorrupt, "this does not belong in a backup"};
    }
    text_.reserve(bytes);
    return open_store();
}

Result<void> FolderSink::begin_file() {
    const std::string path = folder_.at(name_);
    std::error_code ec;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ec);
    if (ec) {
        return Error{ErrorCode::kIo, ec.message()};
    }
    file_ = UniqueFd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    return file_.valid() ? Result<void>() : errno_error(path, errno);
}

Result<void> FolderSink::part(std::span<const std::byte> bytes) {
    if (kind_ == Kind::kFile) {
        return write_all(file_.get(), bytes);
    }
    text_ += as_text(bytes);
    return {};
}

Result<void> FolderSink::end() {
    if (kind_ == Kind::kFile) {
        file_.reset();
        return {};
    }
    return kind_ == Kind::kImage ? end_image() : end_chunk();
}

Result<void> FolderSink::open_store() {
    if (store_ != nullptr) {
        return {};
    }
    auto store = loader::ChunkStore::open(folder_.at("chunks"));
    if (!store) {
        return store.error();
    }
    store_ = std::move(store).value();
    return {};
}

Result<void> FolderSink::end_image() {
    if (auto finished = finish_image(); !finished) {
        return finished;
    }
    const auto index = loader::ImageIndex::parse(text_);
    if (!index) {
        return index.error();
    }
    digest_ = std::filesystem::path(name_).stem().string();
    index_json_ = text_;
    codecs_.clear();
    for (const loader::ImageChunk& chunk : index->chunks) {
        codecs_.emplace(chunk.id, chunk.codec);
    }
    return {};
}

Result<void> FolderSink::end_chunk() {
    const auto digest = parse_sha256(std::filesystem::path(name_).filename().string());
    const auto known = digest ? codecs_.find(loader::ChunkId{*digest}) : codecs_.end();
    if (known == codecs_.end()) {
        return Error{ErrorCode::kCorrupt, "no image before it has this chunk"};
    }
    const auto put = store_->put(as_bytes(text_), known->second == loader::ChunkCodec::kZstd);
    if (!put) {
        return put.error();
    }
    return put->id == known->first ? Result<void>()
                                   : Error{ErrorCode::kCorrupt, "its content has another SHA-256"};
}

// The store checks the digest and that every chunk is there.
Result<void> FolderSink::finish_image() {
    if (digest_.empty()) {
        return {};
    }
    const std::string digest = std::exchange(digest_, {});
    return store_->add_image(digest, index_json_).with_context("image " + digest);
}

// ---- What is in a folder ----

Result<void> look_at_ledger(const std::string& path, VerifyReport& report) {
    const auto audit = billing::audit_ledger(path);
    if (!audit) {
        return audit.error();
    }
    report.found.ledger_records = audit->records;
    for (const std::string& fault : audit->faults) {
        report.faults.push_back("ledger: " + fault);
    }
    return {};
}

Result<void> look_at_keys(const std::string& path, const Clock& clock, VerifyReport& report) {
    SystemEntropy entropy;
    const auto keys = KeyStore::open(path, clock, entropy);
    if (!keys) {
        return keys.error();
    }
    report.found.keys = keys->list().size();
    return {};
}

Result<void> look_at_image(const loader::ChunkStore& store, const std::string& digest,
                           std::unordered_set<loader::ChunkId>& seen, VerifyReport& report) {
    const auto text = store.image_index(digest);
    if (!text) {
        return text.error();
    }
    const auto index = loader::ImageIndex::parse(*text);
    const auto named = loader::image_digest(*text);
    if (!index || !named || *named != digest) {
        return Error{ErrorCode::kCorrupt,
                     "image " + digest + ": its index is damaged: deploy the model again"};
    }
    for (const loader::ImageChunk& chunk : index->chunks) {
        if (!seen.insert(chunk.id).second) {
            continue;
        }
        const auto plain = store.read(chunk.id);
        if (!plain) {
            report.faults.push_back("image " + digest + ": " + plain.error().message);
        }
        ++report.chunks;
        report.chunk_bytes += chunk.bytes;
    }
    return {};
}

Result<void> look_at_images(const DataFolder& folder, bool with_chunks, VerifyReport& report) {
    const auto store = loader::ChunkStore::open(folder.at("chunks"));
    if (!store) {
        return store.error();
    }
    const auto digests = (*store)->images();
    if (!digests) {
        return digests.error();
    }
    report.found.images = digests->size();
    std::unordered_set<loader::ChunkId> seen;
    for (const std::string& digest : *digests) {
        const auto looked =
            with_chunks ? look_at_image(**store, digest, seen, report) : Result<void>();
        if (!looked) {
            report.faults.push_back(looked.error().message);
        }
    }
    const auto catalog = Catalog::open(folder.at("deployments"));
    if (!catalog) {
        return catalog.error();
    }
    report.found.deployments = catalog->entries().size();
    for (const DeploymentEntry& entry : catalog->entries()) {
        const auto here = [&digests](std::string_view digest) {
            return std::binary_search(digests->begin(), digests->end(), digest, std::less<>());
        };
        const std::string_view draft = entry.current.manifest.draft_image();
        if (!here(entry.current.image) || (!draft.empty() && !here(draft))) {
            report.found.without_image.push_back(entry.current.name);
        }
    }
    return {};
}

VerifyReport look_at(const DataFolder& folder, const Clock& clock, bool with_chunks) {
    VerifyReport report;
    const auto note = [&report](const Result<void>& looked) {
        if (!looked) {
            report.faults.push_back(looked.error().message);
        }
    };
    note(look_at_ledger(folder.at("ledger"), report));
    note(look_at_keys(folder.at("keys"), clock, report));
    note(look_at_images(folder, with_chunks, report));
    return report;
}

// ---- Restoring ----

bool is_mark(const std::filesystem::path& path) {
    return path.filename() == "lock" || path.filename() == "format";
}

Result<void> check_empty(const DataFolder& folder) {
    std::error_code ec;
    for (const auto& entry : std::filesystem::directory_iterator(folder.path(), ec)) {
        if (!is_mark(entry.path())) {
            return Error{ErrorCode::kConflict,
                         fmt::format("{} is not empty (it has {}): restore into a new folder",
                                     folder.path(), entry.path().filename().string())};
        }
    }
    return ec ? Error{ErrorCode::kIo, folder.path() + ": " + ec.message()} : Result<void>();
}

void clear(const std::string& folder) {
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
        std::filesystem::remove_all(entry.path(), ignored);
    }
}

Result<RestoreReport> fill(const DataFolder& folder, int archive, const Clock& clock) {
    {
        FolderSink sink(folder);
        if (auto read = read_archive(archive, sink); !read) {
            return read.error();
        }
        if (auto finished = sink.finish(); !finished) {
            return finished.error();
        }
    }
    VerifyReport report = look_at(folder, clock, /*with_chunks=*/false);
    if (!report.faults.empty()) {
        return Error{ErrorCode::kCorrupt,
                     "what the backup holds is damaged: " + report.faults.front()};
    }
    const UniqueFd fd(::open(folder.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.valid() || ::syncfs(fd.get()) != 0) {
        return errno_error("sync of " + folder.path(), errno);
    }
    return std::move(report.found);
}

}  // namespace

Result<RestoreReport> restore_backup(const std::string& archive, const std::string& folder,
                                     const Clock& clock) {
    const UniqueFd fd(::open(archive.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.valid()) {
        return errno_error(archive, errno);
    }
    const auto opened = DataFolder::open(folder);
    if (!opened) {
        return opened.error();
    }
    if (auto empty = check_empty(*opened); !empty) {
        return empty.error();
    }
    if (auto marked = opened->mark_unfinished(); !marked) {
        return marked.error();
    }
    auto report = fill(*opened, fd.get(), clock);
    const auto done = report ? opened->mark_finished() : Result<void>();
    if (!report || !done) {
        clear(opened->path());
        return (report ? done.error() : report.error()).with_context(archive);
    }
    return report;
}

Result<VerifyReport> verify_folder(const std::string& folder, const Clock& clock) {
    std::error_code ec;
    if (!std::filesystem::exists(folder + "/ledger", ec)) {
        return Error{ErrorCode::kNotFound, folder + " is no data folder: it has no ledger"};
    }
    const auto opened = DataFolder::open(folder);
    if (!opened) {
        return opened.error();
    }
    return look_at(*opened, clock, /*with_chunks=*/true);
}

}  // namespace rekindle::daemon
