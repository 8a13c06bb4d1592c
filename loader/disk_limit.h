// How fast a disk gives what restores ask of it: reads of 1 MiB around the page cache, 16 in
// flight, unverified and into memory that was touched before. No restore can be faster. Threading:
// any; blocks on the disk.
#pragma once
#include "base/clock.h"
#include "base/result.h"
#include "loader/chunk_store.h"

#include <cstdint>
#include <span>
#include <string>

namespace rekindle::loader {

inline constexpr uint64_t kLimitReadBytes = 1ULL << 20;
inline constexpr uint32_t kLimitDepth = 16;

// Reads all of `places` once, in order.
Result<Nanoseconds> time_reads(std::span<const ChunkLocation> places, const Clock& clock);

struct DiskLimit {
    bool direct = false;   // The file system takes O_DIRECT; else these are buffered reads.
    std::string io_uring;  // Why the kernel refuses it; empty: it does not.
    uint64_t bytes_per_second = 0;  // 0: not measured.
};

// What `folder`'s file system and this kernel allow, and, with a file without a name of `bytes`
// (whole pages; 0: don't) that is written and read a few times, how fast they are: the best time
// counts. kForbidden when nothing can be written there, kNoSpace, kIo.
Result<DiskLimit> measure_disk(const std::string& folder, uint64_t bytes, const Clock& clock);

}  // namespace rekindle::loader
