// What `rekindle doctor` looks at: the machine, the kernel and the data folder, as they are,
// without judging them. Nothing is changed but a file without a name in the data folder, while its
// disk is measured. Threading: blocks; one caller.
#pragma once
#include "base/clock.h"
#include "base/huge_pages.h"
#include "base/result.h"
#include "loader/disk_limit.h"

#include <cstdint>
#include <optional>
#include <string>

namespace rekindle::daemon {

// What a worker says about itself (`rekindle-worker --measure`).
struct WorkerFacts {
    std::string error;  // Why it could not be asked; empty: the rest counts.
    std::string kernels;
    uint32_t threads = 0;
    bool namespaces = false;
    bool landlock = false;
    uint64_t memory_bytes_per_second = 0;
    uint64_t int8_per_second = 0;  // 0: these kernels have no such limit.
};

struct FolderFacts {
    std::string folder;  // The data folder, or the nearest folder above it that exists.
    std::string error;   // Why nothing could be tried there; empty: the rest counts.
    loader::DiskLimit disk;
    uint64_t disk_bytes = 0;
    uint64_t free_bytes = 0;  // For whoever asked.
};

struct DoctorFacts {
    std::string data_dir;
    std::string kernel;  // Release: "6.1.0-13-amd64".
    uint32_t machine_cores = 0;
    uint32_t usable_cores = 0;
    uint64_t memory_bytes = 0;
    std::optional<uint64_t> memory_limit;      // Of the control group.
    std::optional<uint64_t> locked_bytes_max;  // Nothing: no limit.
    HugePages huge_pages;
    bool clock_synchronised = false;
    int64_t unix_s = 0;
    bool gpu = false;  // A device that compute could run on.
    FolderFacts folder;
    WorkerFacts worker;
};

struct DoctorPlaces {
    std::string root;  // Before every path of /sys, /proc and /dev, for tests; empty: this machine.
    std::string data_dir;
    std::string worker_executable;
    uint64_t disk_file_bytes = 0;  // Of the file that is read; 0: the disk is not measured.
};

DoctorFacts look_around(const DoctorPlaces& places, const Clock& clock);
// What `rekindle-worker --measure` wrote.
WorkerFacts parse_worker_facts(std::string_view text);

}  // namespace rekindle::daemon
