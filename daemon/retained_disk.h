// Keys and values of models at zero on disk, for the node: written and read on the compute pool, so
// that neither waits for the disk on the io thread. Threading: the io thread. Lifetime: longer than
// what was spawned into the gate.
#pragma once
#include "base/async/asio.h"
#include "base/async/gate.h"
#include "base/async/offload.h"
#include "snapshot/retained/kv_disk.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>

namespace rekindle::daemon {

class RetainedDisk {
public:
    RetainedDisk(asio::io_context& context, Gate& gate, ComputePool& compute, snapshot::KvDisk disk)
        : context_(context), gate_(gate), compute_(compute), disk_(std::move(disk)) {}

    // Writes them in the background; their memory goes when that is done.
    void store(const std::string& revision, snapshot::KvFiles files);
    // The same, and waits for it.
    Task<> store_now(std::string revision, std::shared_ptr<const snapshot::KvFiles> files);
    // Fills `files` (of which no worker may know yet) in the background and says how many pages:
    // false, and nothing is called, when there are none of this revision.
    using Loaded = std::function<void(uint32_t pages)>;
    bool load(const std::string& revision, snapshot::KvFiles files, Loaded loaded);
    // Also what is being written now.
    void drop(const std::string& revision);
    // Bytes of files of other revisions than these.
    uint64_t garbage_bytes(const std::set<std::string>& revisions) const;
    void drop_all_but(const std::set<std::string>& revisions);

    uint64_t bytes() const { return disk_.bytes(); }

private:
    Task<> load_now(std::string revision, std::shared_ptr<const snapshot::KvFiles> files,
                    Loaded loaded);

    asio::io_context& context_;
    Gate& gate_;
    ComputePool& compute_;
    snapshot::KvDisk disk_;
    std::multiset<std::string> storing_;
    std::set<std::string> dropped_;  // While they are being stored.
};

}  // namespace rekindle::daemon
