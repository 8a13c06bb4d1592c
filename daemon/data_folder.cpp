#include "daemon/data_folder.h"

#include "base/hash.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <sys/file.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace rekindle::daemon {

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
    return DataFolder(absolute, std::move(lock));
}

Result<UniqueFd> DataFolder::unnamed_file() const {
    UniqueFd fd(::open(path_.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (!fd.valid()) {
        return errno_error("upload file in " + path_, errno);
    }
    return fd;
}

namespace {

Result<void> sync_folder_of(const std::string& path) {
    const std::string folder = std::filesystem::path(path).parent_path().string();
    const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.valid() || ::fsync(fd.get()) != 0) {
        return errno_error("sync of " + folder, errno);
    }
    return {};
}

}  // namespace

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
