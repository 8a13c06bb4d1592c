#include "daemon/config.h"

#include "base/cores.h"
#include "base/log.h"
#include "base/memory_limit.h"
#include "base/units.h"
#include "base/version.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <map>

namespace rekindle::daemon {
namespace {

constexpr uint32_t kThreadsMax = 256;
constexpr uint32_t kWorkersMax = 1024;
constexpr uint32_t kPercentMax = 100;

// Each option as text, from the file or from flags, before it is checked.
struct RawOptions {
    std::map<std::string, std::string> values;
};

const std::map<std::string, std::string>& option_help() {
    static const std::map<std::string, std::string> kHelp{
        {"data_dir", "folder for deployments, chunks and the ledger (required)"},
        {"listen", "address:port of the HTTP endpoint (default 127.0.0.1:8080; port 0: any)"},
        {"threads", "cores that busy workers share (default: all this process may use)"},
        {"host_memory",
         "memory for images, for instance 8GiB (default: half of what this process may use)"},
        {"ready_memory",
         "part of it that is kept ready for restores when images leave (default: an eighth)"},
        {"retained_kv",
         "memory for keys and values of models at zero (default: a sixteenth of host memory)"},
        {"retained_kv_disk",
         "disk for those that memory has no room for, also across restarts (default: four times "
         "retained_kv)"},
        {"kv_memory", "memory for one worker's KV cache (default: an eighth of host memory)"},
        {"idle", "how long an unused model keeps its worker, for instance 5m (default)"},
        {"restore_share",
         "percent of the time for restores while other models answer (default 50)"},
        {"spare_workers", "workers kept ready ahead of need (default 1)"},
        {"workers_max", "models served at the same time (default 16)"},
        {"log_level", "debug, info (default), warning or error"},
        {"hub_url", "the hub of hf:// addresses (default https://huggingface.co)"},
        {"hub_token_file", "file with the hub's token (default: the variable HF_TOKEN)"},
        {"s3_endpoint", "object store of s3:// addresses (default: AWS_ENDPOINT_URL or Amazon)"},
        {"s3_region", "its region (default: AWS_REGION or us-east-1)"},
        {"s3_credentials_file", "file with its keys (default: AWS_ACCESS_KEY_ID and so on)"},
        {"remote_connections", "connections of one push or pull (default 8)"},
    };
    return kHelp;
}

Result<uint32_t> parse_count(const std::string& text, uint32_t low, uint32_t high) {
    uint64_t value = 0;
    const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (status != std::errc{} || end != text.data() + text.size() || value < low || value > high) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("{} is not a whole number from {} to {}", text, low, high)};
    }
    return static_cast<uint32_t>(value);
}

template <typename T>
Result<void> store(Result<T> parsed, T& out) {
    if (!parsed) {
        return parsed.error();
    }
    out = std::move(parsed).value();
    return {};
}

// Options that are taken as they are.
std::string* plain_option(const std::string& key, Config& config) {
    if (key == "hub_url") {
        return &config.remote.hub_url;
    }
    if (key == "hub_token_file") {
        return &config.remote.hub_token_file;
    }
    if (key == "s3_endpoint") {
        return &config.remote.s3_endpoint;
    }
    if (key == "s3_region") {
        return &config.remote.s3_region;
    }
    return key == "s3_credentials_file" ? &config.remote.s3_credentials_file : nullptr;
}

Result<void> set_option(const std::string& key, const std::string& text, Config& config) {
    if (key == "data_dir") {
        config.data_dir = text;
    } else if (key == "listen") {
        config.listen = text;
    } else if (key == "threads") {
        return store(parse_count(text, 1, kThreadsMax), config.threads);
    } else if (key == "host_memory") {
        return store(parse_bytes(text), config.host_memory_bytes);
    } else if (key == "kv_memory") {
        return store(parse_bytes(text), config.kv_memory_bytes);
    } else if (key == "ready_memory") {
        return store(parse_bytes(text), config.ready_memory_bytes.emplace());
    } else if (key == "retained_kv") {
        return store(parse_bytes(text), config.retained_kv_bytes.emplace());
    } else if (key == "retained_kv_disk") {
        return store(parse_bytes(text), config.retained_kv_disk_bytes.emplace());
    } else if (key == "idle") {
        return store(parse_duration(text), config.idle);
    } else if (key == "restore_share") {
        return store(parse_count(text, 1, kPercentMax), config.restore_share);
    } else if (key == "spare_workers") {
        return store(parse_count(text, 1, kWorkersMax), config.spare_workers);
    } else if (key == "workers_max") {
        return store(parse_count(text, 1, kWorkersMax), config.workers_max);
    } else if (key == "log_level") {
        LogLevel level = LogLevel::kInfo;
        if (!parse_log_level(text, level)) {
            return Error{ErrorCode::kInvalidArgument,
                         text + " is none of debug, info, warning, error"};
        }
        config.log_level = text;
    } else if (key == "remote_connections") {
        return store(parse_count(text, 1, remote::kConnectionsMax), config.remote.connections);
    } else if (std::string* const plain = plain_option(key, config)) {
        *plain = text;
    } else {
        return Error{ErrorCode::kInvalidArgument, "no such option"};
    }
    return {};
}

std::string flag_name(std::string key) {
    std::replace(key.begin(), key.end(), '_', '-');
    return "--" + key;
}

Result<void> fill_defaults(Config& config) {
    if (config.data_dir.empty()) {
        return Error{ErrorCode::kInvalidArgument,
                     "no data folder: say where deployments and the ledger live with --data-dir"};
    }
    if (config.threads == 0) {
        config.threads = usable_cores();
    }
    if (config.host_memory_bytes == 0) {
        config.host_memory_bytes = usable_memory_bytes() / 2;
    }
    if (config.kv_memory_bytes == 0) {
        config.kv_memory_bytes = std::clamp(config.host_memory_bytes / 8, 64 * kMiB, kGiB);
    }
    if (!config.ready_memory_bytes) {
        config.ready_memory_bytes = config.host_memory_bytes / 8;
    }
    if (!config.retained_kv_bytes) {
        config.retained_kv_bytes = config.host_memory_bytes / 16;
    }
    if (!config.retained_kv_disk_bytes) {
        config.retained_kv_disk_bytes = *config.retained_kv_bytes * 4;
    }
    config.kv_memory_bytes = align_up(config.kv_memory_bytes, kPageBytes);
    return {};
}

OfflineAction action_of(const std::string& name) {
    static const std::map<std::string, OfflineAction> kActions{{"verify", OfflineAction::kVerify},
                                                               {"backup", OfflineAction::kBackup},
                                                               {"restore", OfflineAction::kRestore},
                                                               {"doctor", OfflineAction::kDoctor}};
    const auto found = kActions.find(name);
    return found == kActions.end() ? OfflineAction::kNone : found->second;
}

Result<void> read_offline(const std::string& action, Offline& offline) {
    offline.action = action_of(action);
    if (offline.fix && offline.action != OfflineAction::kDoctor) {
        return Error{ErrorCode::kInvalidArgument, "--fix belongs to --offline doctor"};
    }
    if (action.empty()) {
        return offline.file.empty() && !offline.with_images
                   ? Result<void>()
                   : Error{ErrorCode::kInvalidArgument,
                           "--file and --with-images belong to --offline backup or restore"};
    }
    const bool has_file = !offline.file.empty();
    const bool needs_file =
        offline.action == OfflineAction::kBackup || offline.action == OfflineAction::kRestore;
    if (has_file != needs_file) {
        return Error{ErrorCode::kInvalidArgument,
                     "--offline " + action +
                         (has_file ? " takes no --file" : " needs --file FILE, the backup")};
    }
    if (offline.with_images && offline.action != OfflineAction::kBackup) {
        return Error{ErrorCode::kInvalidArgument, "--with-images belongs to --offline backup"};
    }
    return {};
}

}  // namespace

Result<void> apply_config_file(const std::string& path, Config& config) {
    try {
        const YAML::Node root = YAML::LoadFile(path);
        if (!root.IsMap()) {
            return Error{ErrorCode::kInvalidArgument, path + ": not a map of options"};
        }
        for (const auto& entry : root) {
            const auto key = entry.first.as<std::string>();
            const auto text = entry.second.as<std::string>();
            const auto set = set_option(key, text, config);
            if (!set) {
                return set.error().with_context(path + ": " + key);
            }
        }
    } catch (const YAML::Exception& error) {
        return Error{ErrorCode::kInvalidArgument, fmt::format("{}: {}", path, error.what())};
    }
    return {};
}

Result<ParsedConfig> parse_config(int argc, char** argv) {
    CLI::App app{"rekindled: the node daemon of Rekindle"};
    app.set_version_flag("--version", "rekindled " + std::string(version()));
    std::string file;
    app.add_option("--config", file, "YAML file with these options (keys with underscores)");
    ParsedConfig parsed;
    std::string action;
    app.add_option("--offline", action,
                   "instead of serving: verify, backup or restore the data folder; doctor: look "
                   "at the machine (`rekindle doctor` shows it)")
        ->check(CLI::IsMember({"verify", "backup", "restore", "doctor"}));
    app.add_option("--file", parsed.offline.file, "the backup that --offline writes or reads");
    app.add_flag("--with-images", parsed.offline.with_images, "--offline backup: models, too");
    app.add_flag("--fix", parsed.offline.fix, "--offline doctor: mend what can be mended");
    std::map<std::string, std::string> flags;
    for (const auto& [key, help] : option_help()) {
        app.add_option(flag_name(key), flags[key], help);
    }
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        if (error.get_exit_code() != 0) {
            return Error{ErrorCode::kInvalidArgument, error.what()};
        }
        parsed.exit_now = true;
        parsed.exit_code = app.exit(error);
        return parsed;
    }
    if (!file.empty()) {
        const auto applied = apply_config_file(file, parsed.config);
        if (!applied) {
            return applied.error();
        }
    }
    for (const auto& [key, text] : flags) {
        if (app.count(flag_name(key)) == 0) {
            continue;
        }
        const auto set = set_option(key, text, parsed.config);
        if (!set) {
            return set.error().with_context(flag_name(key));
        }
    }
    if (auto read = read_offline(action, parsed.offline); !read) {
        return read.error();
    }
    const auto filled = fill_defaults(parsed.config);
    if (!filled) {
        return filled.error();
    }
    return parsed;
}

}  // namespace rekindle::daemon
