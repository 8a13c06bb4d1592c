#include "daemon/backup_writer.h"

#include "base/hash.h"
#include "base/json.h"
#include "base/units.h"
#include "base/version.h"
#include "daemon/tar.h"

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <filesystem>
#include <optional>
#include <system_error>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

namespace rekindle::daemon {
namespace {

constexpr uint64_t kPieceBytes = 1 * kMiB;
constexpr uint64_t kKeptBytesMax = 16 * kMiB;  // Of one file that is read when the list is made.

struct TextItem {
    std::string text;
};

struct FileItem {
    std::string path;
};

struct ImageItem {
    std::string digest;
};

struct ChunkItem {
    loader::ChunkId id;
};

struct Item {
    std::string name;
    std::variant<TextItem, FileItem, ImageItem, ChunkItem> content;
};

class Writer final : public BackupStream {
public:
    Writer(const BackupSources& sources, BackupOptions options)
        : sources_(sources), options_(options) {}

    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;

    ~Writer() override {
        std::error_code ignored;
        std::filesystem::remove_all(sources_.folder.at(kBackupFolder), ignored);
    }

    Result<void> plan();
    Result<std::string> next() override;

private:
    enum class Keep { kPath, kText };  // Until the file's turn comes.
    Result<void> plan_folder(const std::string& name, const std::string& path, Keep keep);
    static Result<Item> plan_file(const std::string& name, const std::string& path, Keep keep);
    Result<void> plan_images();
    Result<std::string> begin_item(Item item);
    Result<std::string> begin_file(const std::string& name, const std::string& path);
    Result<std::string> whole(const std::string& name, std::string text);
    Result<std::string> next_of_file();
    std::string begin_text() const;
    void end_file(std::string& out);
    Result<std::string> end_of_archive();

    const BackupSources sources_;
    const BackupOptions options_;
    std::vector<Item> items_;
    size_t at_ = 0;
    std::unordered_set<loader::ChunkId> chunks_;  // Written, or about to be.
    // The file that is being written in pieces.
    TarFile file_;
    UniqueFd fd_;
    uint64_t done_ = 0;
    std::optional<Sha256> hash_;
    json::array written_;  // [name, bytes, sha256] of each file.
    bool ended_ = false;
};

int64_t unix_s(const Clock& clock) {
    return std::chrono::duration_cast<std::chrono::seconds>(clock.wall()).count();
}

std::string Writer::begin_text() const {
    json::object about;
    about["rekindle_backup"] = kBackupVersion;
    about["program"] = version();
    about["created_unix_s"] = unix_s(sources_.clock);
    about["with_keys"] = options_.with_keys;
    about["with_images"] = options_.with_images;
    return json::serialize(about);
}

Result<void> Writer::plan() {
    items_.push_back({std::string(kBackupBegin), TextItem{begin_text()}});
    std::error_code ec;
    const std::string ledger = sources_.folder.at(kBackupFolder);
    std::filesystem::remove_all(ledger, ec);  // Of a process that was killed.
    // Deployments first, as they are now: what is deployed later is in neither them nor needed.
    for (const std::string_view name : {"deployments", "keys"}) {
        if (name == "keys" && !options_.with_keys) {
            continue;
        }
        auto listed = plan_folder(std::string(name), sources_.folder.at(name), Keep::kText);
        if (!listed) {
            return listed;
        }
    }
    if (auto copied = sources_.ledger.copy_to(ledger); !copied) {
        return copied;
    }
    if (auto listed = plan_folder("ledger", ledger, Keep::kPath); !listed) {
        return listed;
    }
    return options_.with_images ? plan_images() : Result<void>();
}

// Files that are replaced as a whole; what is still being written (".new") is no part of them.
Result<void> Writer::plan_folder(const std::string& name, const std::string& path, Keep keep) {
    std::error_code ec;
    std::vector<Item> found;
    auto at = std::filesystem::recursive_directory_iterator(path, ec);
    if (ec == std::errc::no_such_file_or_directory) {
        return {};
    }
    for (; !ec && at != std::filesystem::recursive_directory_iterator(); at.increment(ec)) {
        if (at->is_regular_file(ec) && at->path().extension() != ".new" &&
            at->path().filename() != "lock") {
            const std::string below = at->path().lexically_relative(path).string();
            auto item = plan_file(name + "/" + below, at->path().string(), keep);
            if (item) {
                found.push_back(std::move(item).value());
            } else if (item.error().code != ErrorCode::kNotFound) {  // Taken off the node just now.
                return item.error();
            }
        }
    }
    if (ec) {
        return Error{ErrorCode::kIo, path + ": " + ec.message()};
    }
    std::sort(found.begin(), found.end(),
              [](const Item& a, const Item& b) { return a.name < b.name; });
    std::move(found.begin(), found.end(), std::back_inserter(items_));
    return {};
}

Result<Item> Writer::plan_file(const std::string& name, const std::string& path, Keep keep) {
    if (keep == Keep::kPath) {
        return Item{name, FileItem{path}};
    }
    auto text = read_small_file(path, kKeptBytesMax);
    if (!text) {
        return text.error();
    }
    return Item{name, TextItem{std::move(text).value()}};
}

Result<void> Writer::plan_images() {
    const auto digests = sources_.store.images();
    if (!digests) {
        return digests.error();
    }
    for (const std::string& digest : *digests) {
        items_.push_back({fmt::format("images/{}.json", digest), ImageItem{digest}});
    }
    return {};
}

Result<std::string> Writer::next() {
    if (fd_.valid()) {
        return next_of_file();
    }
    if (at_ < items_.size()) {
        return begin_item(std::move(items_[at_++]));
    }
    return std::exchange(ended_, true) ? Result<std::string>(std::string()) : end_of_archive();
}

Result<std::string> Writer::begin_item(Item item) {
    if (auto* text = std::get_if<TextItem>(&item.content)) {
        return whole(item.name, std::move(text->text));
    }
    if (const auto* file = std::get_if<FileItem>(&item.content)) {
        return begin_file(item.name, file->path);
    }
    if (const auto* chunk = std::get_if<ChunkItem>(&item.content)) {
        const auto plain = sources_.store.read(chunk->id);
        if (!plain) {
            return plain.error();
        }
        return whole(item.name, std::string(as_text(plain->span())));
    }
    auto text = sources_.store.image_index(std::get<ImageItem>(item.content).digest);
    if (!text) {
        return text.error().with_context("removed while it was saved, save again");
    }
    const auto index = loader::ImageIndex::parse(*text);
    if (!index) {
        return index.error().with_context(item.name);
    }
    // The image's chunks follow it, those that were not written with an earlier one.
    std::vector<Item> chunks;
    for (const loader::ImageChunk& chunk : index->chunks) {
        if (chunks_.insert(chunk.id).second) {
            chunks.push_back({"chunks/" + chunk.id.hex(), ChunkItem{chunk.id}});
        }
    }
    items_.insert(items_.begin() + static_cast<std::ptrdiff_t>(at_),
                  std::make_move_iterator(chunks.begin()), std::make_move_iterator(chunks.end()));
    return whole(item.name, std::move(text).value());
}

Result<std::string> Writer::whole(const std::string& name, std::string text) {
    file_ = {.name = name, .bytes = text.size(), .modified_unix_s = unix_s(sources_.clock)};
    auto head = tar_head(file_);
    if (!head) {
        return head;
    }
    hash_.emplace();
    hash_->update(as_bytes(text));
    std::string out = std::move(head).value() + text;
    end_file(out);
    return out;
}

Result<std::string> Writer::begin_file(const std::string& name, const std::string& path) {
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.valid()) {
        return errno_error(path, errno);
    }
    const auto bytes = file_bytes(fd.get());
    if (!bytes) {
        return bytes.error().with_context(path);
    }
    file_ = {.name = name, .bytes = *bytes, .modified_unix_s = unix_s(sources_.clock)};
    auto head = tar_head(file_);
    if (!head) {
        return head;
    }
    fd_ = std::move(fd);
    done_ = 0;
    hash_.emplace();
    auto content = next_of_file();
    return content ? Result<std::string>(std::move(head).value() + *content) : content;
}

Result<std::string> Writer::next_of_file() {
    std::string out(std::min(kPieceBytes, file_.bytes - done_), '\0');
    const auto read = read_exact_at(fd_.get(), std::as_writable_bytes(std::span(out)), done_);
    if (!read) {
        return read.error().with_context(file_.name);
    }
    hash_->update(as_bytes(out));
    done_ += out.size();
    if (done_ == file_.bytes) {
        fd_.reset();
        end_file(out);
    }
    return out;
}

void Writer::end_file(std::string& out) {
    written_.push_back(json::array{file_.name, file_.bytes, to_hex(hash_->finish())});
    out.append(tar_padding(file_.bytes), '\0');
}

Result<std::string> Writer::end_of_archive() {
    json::object list;
    list["files"] = std::move(written_);
    auto out = whole(std::string(kBackupEnd), json::serialize(list));
    if (out) {
        out->append(2 * kTarBlockBytes, '\0');
    }
    return out;
}

}  // namespace

Result<std::unique_ptr<BackupStream>> begin_backup(const BackupSources& sources,
                                                   BackupOptions options) {
    auto writer = std::make_unique<Writer>(sources, options);
    if (auto planned = writer->plan(); !planned) {
        return planned.error();
    }
    return std::unique_ptr<BackupStream>(std::move(writer));
}

}  // namespace rekindle::daemon
