// The admin route that gives a backup of the node (docs/admin-api.md): one at a time, read from
// disk as fast as its client takes it. Threading: the io thread; disks are read on the compute
// pool. Ownership: what it is given outlives it.
#pragma once
#include "base/async/offload.h"
#include "daemon/backup.h"
#include "daemon/http_exchange.h"
#include "daemon/http_router.h"

#include <string>
#include <vector>

namespace rekindle::daemon {

class AdminBackup {
public:
    AdminBackup(BeginBackup begin, ComputePool& files) : begin_(std::move(begin)), files_(files) {}

    void add_routes(std::vector<Route>& routes);

private:
    Task<> save(HttpExchange& exchange);
    // True when all of the archive was sent; the answer is not ended yet.
    Task<bool> send(HttpExchange* exchange, std::shared_ptr<BackupStream> stream);

    const BeginBackup begin_;
    ComputePool& files_;
    bool saving_ = false;
};

}  // namespace rekindle::daemon
