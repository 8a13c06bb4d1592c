// Keys and values of models at zero on disk: a file for each revision, written when host memory has
// no room for them or the daemon stops, and read back when the model wakes.
// Invariant: a file has its name only when it is whole and synced, and is given to nobody unless
// every checksum matches: what is torn or damaged is removed and counts as absent. All files
// together never exceed the limit; the ones used longest ago make room.
// Threading: any thread; save() and load() take turns and block on the disk, the others wait for
// neither. Ownership: owns everything in its folder.
#pragma once
#include "base/result.h"
#include "snapshot/retained/kv_files.h"

#include <cstdint>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace rekindle::snapshot {

struct KvFileHead;

class KvDisk {
public:
    // Makes the folder (mode 0700) where it is missing, and removes what a crash left unfinished.
    static Result<KvDisk> open(const std::string& folder, uint64_t bytes_max);

    KvDisk(KvDisk&& other) noexcept;
    KvDisk& operator=(KvDisk&&) = delete;

    // Writes what the table lists under `name` (letters and digits), in the place of what was
    // there: the bytes of the file, 0 when nothing is listed or not one page fits. kNoSpace when
    // the disk is full; then, too, no file of this name is left.
    Result<uint64_t> save(const std::string& name, const KvFiles& files);
    // Fills `files`, of which no worker knows yet: how many pages. kNotFound, kCorrupt.
    Result<uint32_t> load(const std::string& name, const KvFiles& files);
    bool has(const std::string& name) const;
    void remove(const std::string& name);
    // Names of all files, sorted.
    std::vector<std::string> names() const;
    uint64_t bytes() const { return bytes_but({}); }
    // Of all files with other names than these.
    uint64_t bytes_but(const std::set<std::string>& names) const;

private:
    struct Listed {
        std::string name;
        uint64_t bytes = 0;
        int64_t used_ns = 0;  // When it was written or read last.
    };

    KvDisk(std::string folder, uint64_t bytes_max)
        : folder_(std::move(folder)), bytes_max_(bytes_max) {}

    std::vector<Listed> list() const;
    void make_room(uint64_t bytes);
    Result<void> write(const std::string& name, const KvFileHead& head, const Mapping& memory);
    std::string path_of(const std::string& name) const;

    const std::string folder_;
    const uint64_t bytes_max_;
    std::mutex mutex_;  // Held by save() and load().
};

}  // namespace rekindle::snapshot
