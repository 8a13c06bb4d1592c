#include "daemon/config.h"

#include "base/cores.h"
#include "base/log.h"
#include "base/units.h"
#include "base/version.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <unistd.h>

namespace rekindle::daemon {
namespace {

constexpr uint32_t kThreadsMax = 256;
constexpr uint32_t kWorkersMax = 1024;

// Each option as text, from the file or from flags, before it is checked.
struct RawOptions {
    std::map<std::string, std::string> values;
};

const std::map<std::string, std::string>& option_help() {
    static const std::map<std::string, std::string> kHelp{
        {"data_dir", "folder for deployments, chunks and the ledger (required)"},
        {"listen", "address:port of the HTTP endpoint (default 127.0.0.1:8080; port 0: any)"},
        {"threads", "cores that busy workers share (default: all this process may use)"},
        {"host_memory", "memory for images, for instance 8GiB (default: half of the machine)"},
        {"kv_memory", "memory for one worker's KV cache (default: an eighth of host memory)"},
        {"idle", "how long an unused model keeps its worker, for instance 5m (default)"},
        {"spare_workers", "workers kept ready ahead of need (default 1)"},
        {"workers_max", "models served at the same time (default 16)"},
        {"log_level", "debug, info (default), warning or error"},
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
    } else if (key == "idle") {
        return store(parse_duration(text), config.idle);
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
        const auto pages = static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES));
        config.host_memory_bytes = pages * kPageBytes / 2;
    }
    if (config.kv_memory_bytes == 0) {
        config.kv_memory_bytes = std::clamp(config.host_memory_bytes / 8, 64 * kMiB, kGiB);
    }
    config.kv_memory_bytes = align_up(config.kv_memory_bytes, kPageBytes);
    return {};
}

Result<void> read_offline(const std::string& action, Offline& offline) {
    if (action.empty()) {
        return offline.file.empty() && !offline.with_images
                   ? Result<void>()
                   : Error{ErrorCode::kInvalidArgument,
                           "--file and --with-images belong to --offline backup or restore"};
    }
    offline.action = action == "verify"   ? OfflineAction::kVerify
                     : action == "backup" ? OfflineAction::kBackup
                                          : OfflineAction::kRestore;
    const bool has_file = !offline.file.empty();
    if (has_file != (offline.action != OfflineAction::kVerify)) {
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
                   "instead of serving: verify, backup or restore the data folder")
        ->check(CLI::IsMember({"verify", "backup", "restore"}));
    app.add_option("--file", parsed.offline.file, "the backup that --offline writes or reads");
    app.add_flag("--with-images", parsed.offline.with_images, "--offline backup: models, too");
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
