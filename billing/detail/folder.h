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

std::string store_path(const std::string& folder);
std::string high_water_path(const std::string& folder);

// Makes the folder if needed and locks it for this process. kConflict when another has it.
Result<UniqueFd> lock_folder(const std::string& folder);

// Under the lock, reading only: a new folder gets its high-water mark; an existing ledger must have
// the format this program knows and a whole chain in its last `records`. kCorrupt otherwise.
Result<void> check_before_writing(const std::string& folder, uint64_t records, rocksdb::Env* env);

}  // namespace rekindle::billing
