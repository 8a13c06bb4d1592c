// Takes a backup apart (docs/formats/backup.md). Its bytes are a stranger's: names, sizes and order
// are checked before anything is made of them, and every file is compared with the list at the end.
// Threading: none.
#pragma once
#include "base/result.h"
#include "base/unique_fd.h"

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace rekindle::daemon {

inline constexpr uint64_t kBackupFilesMax = 1'000'000;         // 4 TB of chunks.
inline constexpr uint64_t kBackupListBytesMax = 512ULL << 20;  // The list of so many files fits.

// Where a backup's files go. Any error ends the reading.
class ArchiveSink {
public:
    virtual ~ArchiveSink() = default;
    // A file begins; its name was checked: components of [A-Za-z0-9._-], none "." or "..".
    virtual Result<void> begin(std::string_view name, uint64_t bytes) = 0;
    virtual Result<void> part(std::span<const std::byte> bytes) = 0;
    virtual Result<void> end() = 0;
};

// Gives every file but the first and last to `sink`. kUnsupported for another version, kCorrupt
// with the name of what is damaged or missing. Only success says that what the sink has is whole.
Result<void> read_archive(int fd, ArchiveSink& sink);

// "a/b-1.json": what a backup may name, relative and without surprises.
bool is_archive_name(std::string_view name) noexcept;

}  // namespace rekindle::daemon
