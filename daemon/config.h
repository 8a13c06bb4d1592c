// Options of rekindled: defaults, then the YAML file of --config, then flags. The file's keys are
// the flags' names with underscores; an unknown key is an error.
#pragma once
#include "base/result.h"
#include "loader/remote/remote_settings.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace rekindle::daemon {

struct Config {
    std::string data_dir;
    std::string listen = "127.0.0.1:8080";  // address:port; port 0 takes a free one.
    uint32_t threads = 0;                   // Shared by busy workers; 0: usable_cores().
    uint64_t host_memory_bytes = 0;         // For images; 0: half of usable_memory_bytes().
    // Of host memory, kept ready for restores when images leave; nothing: an eighth.
    std::optional<uint64_t> ready_memory_bytes;
    // For keys and values of models at zero, all together; nothing: a sixteenth of the above.
    std::optional<uint64_t> retained_kv_bytes;
    // And on disk, when memory has no room for them: nothing: four times the above.
    std::optional<uint64_t> retained_kv_disk_bytes;
    uint64_t kv_memory_bytes = 0;  // Per worker; 0: an eighth of host memory, 64 MiB to 1 GiB.
    std::chrono::milliseconds idle{300'000};  // Keep-alive of a model that has none of its own.
    uint32_t restore_share = 50;  // Percent of the time for restores while other models answer.
    uint32_t spare_workers = 1;
    uint32_t workers_max = 16;  // Models served at once.
    std::string log_level = "info";
    remote::RemoteSettings remote;  // Hub and object store.
};

// Instead of serving: --offline ACTION.
enum class OfflineAction { kNone, kVerify, kBackup, kRestore, kDoctor };

struct Offline {
    OfflineAction action = OfflineAction::kNone;
    std::string file;  // --file: the backup.
    bool with_images = false;
    bool fix = false;  // --fix: the doctor mends what it can.
};

struct ParsedConfig {
    Config config;
    Offline offline;
    bool exit_now = false;  // --help or --version was printed.
    int exit_code = 0;
};

// kInvalidArgument names the flag or key.
Result<ParsedConfig> parse_config(int argc, char** argv);
// One YAML document over `config`.
Result<void> apply_config_file(const std::string& path, Config& config);

}  // namespace rekindle::daemon
