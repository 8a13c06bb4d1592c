// The ledger's disk, in memory: what was written survives the process, what was synced survives the
// machine. After a power loss a file that was appended to keeps its synced bytes and some part of
// the rest, one that was overwritten keeps either state. Directory entries are durable at once.
// RocksDB's background work is queued, and run when the simulation says so.
// Threading: one thread.
#pragma once
#include "tests/sim/world.h"

#include <rocksdb/env.h>

#include <map>
#include <memory>
#include <string>

namespace rekindle::sim {

struct DiskFile {
    std::string data;
    std::string synced;
    bool appended = true;  // Never overwritten.
};

class Disk {
public:
    explicit Disk(World& world);
    Disk(const Disk&) = delete;
    Disk& operator=(const Disk&) = delete;
    ~Disk();

    rocksdb::Env& env() noexcept;
    // What RocksDB wanted to do on a thread of its own.
    void run_background_work();
    // Between two daemons: drops what was not synced.
    void lose_power();
    // For experiments with a recorded state.
    const std::map<std::string, std::shared_ptr<DiskFile>>& files() const noexcept;

private:
    struct State;
    class FileSystem;
    class QueueingEnv;

    std::unique_ptr<State> state_;
    std::unique_ptr<rocksdb::Env> inner_;
    std::unique_ptr<QueueingEnv> env_;
};

}  // namespace rekindle::sim
