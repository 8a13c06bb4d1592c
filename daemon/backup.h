// A copy of what a node can't make again, as one tar archive (docs/formats/backup.md): ledger,
// deployments, keys and, if wanted, images. Written while the daemon serves; read back by
// restore.h.
#pragma once
#include "base/result.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace rekindle::daemon {

inline constexpr int64_t kBackupVersion = 1;
inline constexpr std::string_view kBackupBegin = "rekindle-backup.json";
inline constexpr std::string_view kBackupEnd = "rekindle-backup-end.json";

struct BackupOptions {
    bool with_keys = true;
    bool with_images = false;
};

// An archive that is being written. Threading: one thread at a time; next() blocks on disks.
class BackupStream {
public:
    virtual ~BackupStream() = default;
    // The next bytes, some MiB at most; empty at the end. After an error: no more calls.
    virtual Result<std::string> next() = 0;
};

// At most one lives at a time: its caller sees to that.
using BeginBackup = std::function<Result<std::unique_ptr<BackupStream>>(BackupOptions)>;

}  // namespace rekindle::daemon
