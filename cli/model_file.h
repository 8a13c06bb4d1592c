// The model file of a deployment on this side: opened before the daemon is asked anything.
#pragma once
#include "base/result.h"
#include "base/unique_fd.h"

#include <cstdint>
#include <string>

namespace rekindle::cli {

struct ModelFile {
    UniqueFd fd;
    uint64_t bytes = 0;
};

// kNotFound when there is none; kIo for a folder, a device or a file that may not be read.
Result<ModelFile> open_model_file(const std::string& path);

}  // namespace rekindle::cli
