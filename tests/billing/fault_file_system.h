// A file system for RocksDB that misbehaves on its log files as a test asks: syncs that fail, a
// process that dies in the middle of one, and a machine that loses what was not synced.
#pragma once
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include <functional>
#include <memory>

namespace rekindle::billing {

struct LogFaults {
    // Called before each sync of a log, after its bytes went to the kernel; an error is what the
    // sync then returns. May be empty.
    std::function<rocksdb::IOStatus()> at_sync;
    // Called before each append to a log. May be empty.
    std::function<rocksdb::IOStatus()> at_append;
    // Keeps what is appended in this process until it is synced: a kill is then a power loss.
    bool hold_unsynced = false;
};

// The machine's file system with `faults` on files that end in ".log".
std::unique_ptr<rocksdb::Env> make_faulty_env(LogFaults faults);

}  // namespace rekindle::billing
