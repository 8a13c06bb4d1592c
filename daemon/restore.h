// Reads a backup into an empty data folder, and examines a data folder: both with no rekindled
// running on it. Threading: none; blocks on disks.
#pragma once
#include "base/clock.h"
#include "base/result.h"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace rekindle::daemon {

struct RestoreReport {
    uint64_t ledger_records = 0;
    uint64_t deployments = 0;
    uint64_t keys = 0;
    uint64_t images = 0;
    // Deployments whose image is not here: deploying the same file again brings it back.
    std::vector<std::string> without_image;
};

// `folder` is empty or does not exist. Everything is checked while it is read and again when it is
// there; until then the folder is marked as unfinished and no rekindled starts on it. After an
// error the folder is empty again, and the message names the file of the backup that is at fault.
Result<RestoreReport> restore_backup(const std::string& archive, const std::string& folder,
                                     const Clock& clock);

struct VerifyReport {
    RestoreReport found;
    uint64_t chunks = 0;
    uint64_t chunk_bytes = 0;
    std::vector<std::string> faults;  // Empty when all is well.
};

// Reads everything: the ledger's whole chain, every chunk against its SHA-256, deployments, keys.
// Changes nothing that is billed or served.
Result<VerifyReport> verify_folder(const std::string& folder, const Clock& clock);

}  // namespace rekindle::daemon
