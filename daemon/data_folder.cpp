#include "daemon/data_folder.h"

#include "base/hash.h"

#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <optional>
#include <sys/file.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace rekindle::daemon {

namespace {

constexpr std::string_view kFormatPrefix = "rekindle data folder, version ";
constexpr uint64_t kFormatBytesMax = 64;
constexpr const char* kUnfinished = "/restoring";

std::optional<uint32_t> parse_version(std::string_view text) {
    if (!text.starts_with(kFormatPrefix) || !text.ends_with('\n')) {
        return std::nullopt;
    }
    text.remove_prefix(kFormatPrefix.size());
    text.remove_suffix(1);
    uint32_t version = 0;
    const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), version);
    const bool whole = status == std::errc() && end == text.data() + text.size();
    return whole ? std::optional(version) : std::nullopt;
}

// A folder without a mark is new, or of the time before there were marks, which is version 1.
Result<void> check_version(const std::string& folder) {
    const std::string path = folder + "/format";
    const auto text = read_small_file(path, kFormatBytesMax);
    if (!text && text.error().code == ErrorCode::kNotFound) {
        return write_file_durably(path, fmt::format("{}{}\n", kFormatPrefix, kDataFolderVersion));
    }
    if (!text) {
        return text.error();
    }
    const auto version = parse_version(*text);
    if (!version || *version == 0) {
        return Error{ErrorCode::kCorrupt,
                     path +
                         " does not say which version the data folder has: choose another with "
                         "--data-dir, or restore a backup"};
    }
    if (*version > kDataFolderVersion) {
        return Error{ErrorCode::kUnsupported,
                     fmt::format("data folder {} has layout version {}, and this rekindled knows "
                                 "versions up to {}: start the newer rekindled that wrote it",
                                 folder, *version, kDataFolderVersion)};
    }
    return {};
}

Result<void> sync_folder_of(const std::string& path) {
    const std::string folder = std::filesystem::path(path).parent_path().string();
    const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.valid() || ::fsync(fd.get()) != 0) {
        return errno_error("sync of " + folder, errno);
    }
    return {};
}

}  // namespace

Result<DataFolder> DataFolder::open(const std::string& path) {
    std::error_code ec;
    const std::string absolute = std::filesystem::absolute(path, ec).lexically_normal().string();
    std::filesystem::create_directories(absolute, ec);
    if (ec) {
        return Error{ErrorCode::kIo, fmt::format("data folder {}: {}: choose another with "
                                                 "--data-dir",
                                                 absolute, ec.message())};
    }
    const std::string lock_path = absolute + "/lock";
    UniqueFd lock(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!lock.valid()) {
        return errno_error(fmt::format("data folder {} is not writable", absolute), errno);
    }
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
        return Error{ErrorCode::kConflict,
                     fmt::format("data folder {} is in use by another rekindled: stop that one or "
                                 "choose another with --data-dir",
                                 absolute)};
    }
    if (auto checked = check_version(absolute); !checked) {
        return checked.error();
    }
    if (std::filesystem::exists(absolute + kUnfinished, ec)) {
        return Error{ErrorCode::kConflict,
                     fmt::format("a restore into data folder {} did not end: remove what is in it "
                                 "and restore again",
                                 absolute)};
    }
    DataFolder folder(absolute, std::move(lock));
    std::filesystem::remove_all(folder.at(kBackupFolder), ec);
    return folder;
}

Result<void> DataFolder::mark_unfinished() const {
    return write_file_durably(path_ + kUnfinished, "");
}

Result<void> DataFolder::mark_finished() const {
    const std::string path = path_ + kUnfinished;
    if (::unlink(path.c_str()) != 0) {
        return errno_error(path, errno);
    }
    return sync_folder_of(path);
}

Result<UniqueFd> DataFolder::unnamed_file() const {
    UniqueFd fd(::open(path_.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (!fd.valid()) {
        return errno_error("upload file in " + path_, errno);
    }
    return fd;
}

Result<void> write_file_durably(const std::string& path, std::string_view text) {
    const std::string temporary = path + ".new";
    UniqueFd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!fd.valid()) {
        return errno_error(temporary, errno);
    }
    const auto written = write_all(fd.get(), as_bytes(text));
    if (!written) {
        ::unlink(temporary.c_str());
        return written.error().with_context(temporary);
    }
    if (::fsync(fd.get()) != 0 || std::rename(temporary.c_str(), path.c_str()) != 0) {
        const int reason = errno;
        ::unlink(temporary.c_str());
        return errno_error(path, reason);
    }
    return sync_folder_of(path);
}

Result<void> remove_file_durably(const std::string& path) {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
        return errno_error(path, errno);
    }
    return sync_folder_of(path);
}

Result<std::string> read_small_file(const std::string& path, uint64_t bytes_max) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.valid()) {
        return errno_error(path, errno);
    }
    const auto bytes = file_bytes(fd.get());
    if (!bytes) {
        return bytes.error().with_context(path);
    }
    if (*bytes > bytes_max) {
        return Error{ErrorCode::kTooLarge,
                     fmt::format("{}: {} bytes, the limit is {}", path, *bytes, bytes_max)};
    }
    std::string text(*bytes, '\0');
    const auto read = read_exact_at(fd.get(), std::as_writable_bytes(std::span(text)), 0);
    if (!read) {
        return read.error().with_context(path);
    }
    return text;
}

}  // namespace rekindle::daemon
