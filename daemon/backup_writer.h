// Writes a backup of a running node. Threading: begin_backup() and the stream on one thread at a
// time, any; the services' own rules allow it beside the io thread. Ownership: the services outlive
// every stream.
#pragma once
#include "base/clock.h"
#include "billing/ledger.h"
#include "daemon/backup.h"
#include "daemon/data_folder.h"
#include "loader/chunk_store.h"

#include <memory>

namespace rekindle::daemon {

struct BackupSources {
    const Clock& clock;
    const DataFolder& folder;
    const billing::Ledger& ledger;
    const loader::ChunkStore& store;
};

// Makes a second ledger beside the first (links, not copies), which the stream reads and removes.
Result<std::unique_ptr<BackupStream>> begin_backup(const BackupSources& sources,
                                                   BackupOptions options);

}  // namespace rekindle::daemon
