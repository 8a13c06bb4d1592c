#include "cli/model_file.h"

#include <fmt/format.h>

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <utility>

namespace rekindle::cli {

Result<ModelFile> open_model_file(const std::string& path) {
    // Without O_NONBLOCK the open of a pipe without a writer would hang.
    UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!fd.valid()) {
        return errno_error(fmt::format("model file {}", path), errno);
    }
    struct stat status{};
    if (fstat(fd.get(), &status) != 0) {
        return errno_error(fmt::format("model file {}", path), errno);
    }
    if (S_ISDIR(status.st_mode)) {
        return Error{ErrorCode::kIo,
                     fmt::format("model file {}: it is a folder, give a .gguf file", path)};
    }
    if (!S_ISREG(status.st_mode)) {
        return Error{ErrorCode::kIo, fmt::format("model file {}: it is not a regular file", path)};
    }
    // The daemon reads the same open file, and io_uring must not see it as non-blocking.
    if (fcntl(fd.get(), F_SETFL, 0) != 0) {
        return errno_error(fmt::format("model file {}", path), errno);
    }
    return ModelFile{std::move(fd), static_cast<uint64_t>(status.st_size)};
}

}  // namespace rekindle::cli
