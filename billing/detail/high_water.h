// The high-water mark: sequence and digest of a record that is surely on disk, in a file of its
// own. RocksDB's recovery stops at the first damaged log entry and silently drops what follows; a
// chain that ends before this mark has lost acknowledged records. Two slots are written in turn, so
// that a torn write leaves the older one. Threading: one thread. Written after the ledger's sync,
// so it never runs ahead of it. Its
// disk is the ledger's: a rocksdb::Env, which tests and the simulation replace.
#pragma once
#include "base/hash.h"
#include "base/result.h"

#include <rocksdb/env.h>

#include <cstdint>
#include <memory>
#include <string>

namespace rekindle::billing {

struct ChainPoint {
    uint64_t sequence = 0;  // 0: before the first record.
    Sha256Digest digest{};  // SHA-256 of that record's bytes.
    bool operator==(const ChainPoint&) const = default;
};

class HighWater {
public:
    // Creates the file with the point 0, durably; kAlreadyExists when it exists.
    static Result<void> create(const std::string& path, rocksdb::Env& env);
    // kNotFound without the file, kCorrupt when no slot is whole.
    static Result<HighWater> open(const std::string& path, rocksdb::Env& env);
    // The same without the right to write.
    static Result<ChainPoint> read(const std::string& path, rocksdb::Env& env);

    const ChainPoint& point() const noexcept { return point_; }

    // To the page cache: survives the process, not the machine.
    Result<void> write(const ChainPoint& point);
    Result<void> sync();

private:
    HighWater(std::unique_ptr<rocksdb::RandomRWFile> file, ChainPoint point, uint32_t next_slot);

    std::unique_ptr<rocksdb::RandomRWFile> file_;
    ChainPoint point_;
    uint32_t next_slot_;
};

}  // namespace rekindle::billing
