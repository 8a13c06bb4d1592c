#include "loader/remote/detail/arrival_files.h"

#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/unique_fd.h"
#include "loader/image_index.h"

#include <boost/json/serialize.hpp>

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <system_error>
#include <unistd.h>

namespace rekindle::remote {
namespace {

constexpr std::string_view kSuffix = ".json";
// An index as a JSON string: most of its quotes take two bytes.
constexpr uint64_t kArrivalBytesMax = 2 * loader::kImageIndexBytesMax;

std::string path_of(const std::string& folder, const std::string& digest) {
    return folder + "/" + digest + std::string(kSuffix);
}

Result<void> sync_folder(const std::string& folder) {
    const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.valid() || ::fsync(fd.get()) != 0) {
        return errno_error(folder, errno);
    }
    return {};
}

Result<ArrivalRecord> read_arrival(const std::string& path) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.valid()) {
        return errno_error(path, errno);
    }
    const auto bytes = file_bytes(fd.get());
    if (!bytes) {
        return bytes.error();
    }
    if (*bytes > kArrivalBytesMax) {
        return Error{ErrorCode::kTooLarge, path + ": too large"};
    }
    std::string text(*bytes, '\0');
    auto read = read_exact_at(fd.get(), std::as_writable_bytes(std::span(text)), 0);
    if (!read) {
        return std::move(read).error();
    }
    return parse_arrival(text);
}

}  // namespace

std::string arrival_text(const ArrivalRecord& record) {
    const json::object root{
        {"index", record.index_json}, {"rekindle_arrival", 1}, {"remote", record.remote}};
    return json::serialize(root) + "\n";
}

Result<ArrivalRecord> parse_arrival(std::string_view text) {
    const Error corrupt{ErrorCode::kCorrupt,
                        "it must be {\"index\": …, \"rekindle_arrival\": 1, \"remote\": …}"};
    const auto parsed = parse_json(text, {.depth_max = 2, .bytes_max = kArrivalBytesMax});
    const json::object* const root = parsed ? parsed->if_object() : nullptr;
    const json::value* const version =
        root == nullptr ? nullptr : root->if_contains("rekindle_arrival");
    if (version == nullptr || !version->is_int64() || version->get_int64() != 1) {
        return corrupt;
    }
    auto index = get_string(*root, "index");
    auto remote = get_string(*root, "remote");
    if (!index || !*index || !remote || !*remote) {
        return corrupt;
    }
    auto digest = loader::image_digest(**index);
    if (!digest) {
        return std::move(digest).error();
    }
    return ArrivalRecord{.digest = std::move(digest).value(),
                         .remote = **std::move(remote),
                         .index_json = **std::move(index)};
}

Result<void> write_arrival(const std::string& folder, const ArrivalRecord& record) {
    std::error_code ec;
    std::filesystem::create_directories(folder, ec);
    if (ec) {
        return errno_error(folder, ec.value());
    }
    const std::string path = path_of(folder, record.digest);
    const std::string temporary = path + ".new";
    constexpr mode_t kOwnerOnly = 0600;
    const UniqueFd fd(
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, kOwnerOnly));
    if (!fd.valid()) {
        return errno_error(temporary, errno);
    }
    auto written = write_all(fd.get(), as_bytes(arrival_text(record)));
    if (written && (::fsync(fd.get()) != 0 || std::rename(temporary.c_str(), path.c_str()) != 0)) {
        written = errno_error(path, errno);
    }
    if (!written) {
        ::unlink(temporary.c_str());
        return written;
    }
    return sync_folder(folder);
}

void remove_arrival(const std::string& folder, const std::string& digest) {
    // One that stays after a crash is taken up again, found complete, and removed then.
    ::unlink(path_of(folder, digest).c_str());
}

std::vector<ArrivalRecord> read_arrivals(const std::string& folder) {
    std::vector<ArrivalRecord> records;
    std::error_code ec;
    for (const auto& entry : std::filesystem::directory_iterator(folder, ec)) {
        const std::string path = entry.path().string();
        if (!path.ends_with(kSuffix)) {
            ::unlink(path.c_str());  // Written when the machine went down.
            continue;
        }
        auto record = read_arrival(path);
        if (record && path == path_of(folder, record->digest)) {
            records.push_back(std::move(record).value());
        } else {
            log_warning("arrival_not_read",
                        {{"file", path},
                         {"reason", record ? "its name is not the digest of its index"
                                           : record.error().message}});
        }
    }
    return records;
}

}  // namespace rekindle::remote
