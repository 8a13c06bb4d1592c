// The data folder of a node: made on first use, locked for one rekindled at a time, and marked with
// the version of its layout (docs/formats/data-folder.md), so that a program which does not know it
// leaves it alone.
//   DIR/format  DIR/lock  DIR/admin.sock  DIR/deployments/  DIR/chunks/  DIR/ledger/  DIR/keys/
#pragma once
#include "base/result.h"
#include "base/unique_fd.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace rekindle::daemon {

inline constexpr uint32_t kDataFolderVersion = 1;
// While a backup is made: links to the ledger's files. One that a killed process left is removed.
inline constexpr std::string_view kBackupFolder = "backup.tmp";

class DataFolder {
public:
    // kConflict when another rekindled holds it or a restore into it did not end, kUnsupported when
    // a newer one made it, kCorrupt for a mark that is none, kIo or kNoSpace when it can't be
    // written.
    static Result<DataFolder> open(const std::string& path);
    const std::string& path() const noexcept { return path_; }
    std::string at(std::string_view name) const { return path_ + "/" + std::string(name); }
    // Until the second call no rekindled starts on the folder, also after a crash in between.
    Result<void> mark_unfinished() const;
    Result<void> mark_finished() const;
    // An open file without a name inside the folder.
    Result<UniqueFd> unnamed_file() const;

private:
    DataFolder(std::string path, UniqueFd lock) : path_(std::move(path)), lock_(std::move(lock)) {}

    std::string path_;  // Absolute.
    UniqueFd lock_;
};

// Replaces `path` by `text`: temporary file, fsync, rename, fsync of the folder.
Result<void> write_file_durably(const std::string& path, std::string_view text);
// No error when there is none.
Result<void> remove_file_durably(const std::string& path);
Result<std::string> read_small_file(const std::string& path, uint64_t bytes_max);

}  // namespace rekindle::daemon
