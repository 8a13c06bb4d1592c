// The ledger's folder: lock, high-water mark and RocksDB.
//   FOLDER/lock   FOLDER/high_water   FOLDER/records/
#pragma once
#include "base/result.h"
#include "base/unique_fd.h"

#include <cstdint>
#include <string>

namespace rocksdb {
class Env;
}

namespace rekindle::billing {

class Store;
struct ChainPoint;

std::string store_path(const std::string& folder);
std::string high_water_path(const std::string& folder);

// `env`, or the machine's own disk for null.
rocksdb::Env& disk_or_default(rocksdb::Env* env);

// Makes the folder if needed and locks it for this process. kConflict when another has it.
Result<UniqueFd> lock_folder(const std::string& folder);

// Under the lock, reading only: a new folder gets its high-water mark; an existing ledger must have
// the format this program knows and a whole chain in its last `records`. kCorrupt otherwise.
Result<void> check_before_writing(const std::string& folder, uint64_t records, rocksdb::Env* env);

// A new ledger in `folder` with what `store` holds; `point` is a record of it that is durable.
Result<void> copy_ledger(const Store& store, const ChainPoint& point, const std::string& folder);

}  // namespace rekindle::billing
