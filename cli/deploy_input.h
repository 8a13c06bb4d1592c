// What `rekindle deploy` sends: a manifest, from a file or from flags, and the model file that it
// names. The paths of a manifest are its own: a daemon never opens one. Threading: none.
#pragma once
#include "base/result.h"
#include "cli/model_file.h"
#include "daemon/api/manifest.h"

#include <cstdint>
#include <optional>
#include <string>

namespace rekindle::cli {

struct DeployFlags {
    std::string file;  // A manifest (.yaml, .yml, .json) or a model file.
    std::string name;
    std::string price_input;
    std::string price_output;
    std::string price_cached;
    std::string currency;
    std::string idle;
    std::optional<uint32_t> context;
};

struct DeployInput {
    daemon::api::Manifest manifest;
    std::optional<ModelFile> model;  // Nothing when the manifest names an image.
};

bool is_manifest_path(const std::string& path) noexcept;

// kInvalidArgument for what is wrong with the manifest or a flag, kNotFound and kIo for files.
Result<DeployInput> read_deploy_input(const DeployFlags& flags);

}  // namespace rekindle::cli
