// A model file from elsewhere, into a file of the data folder: resumable (a part that a broken or
// cancelled deploy left is gone on with), bounded by what the disk has left, removed when it was
// used or is of no use. Threading: blocking, on a compute thread. One download of an address at a
// time.
#pragma once
#include "base/result.h"
#include "base/unique_fd.h"
#include "loader/remote/remote_settings.h"

#include <cstdint>
#include <functional>
#include <string>

namespace rekindle::daemon {

// Parts live in DIR/downloads; those that were not gone on with for this long go at the start.
inline constexpr std::chrono::hours kDownloadKept{7 * 24};
inline constexpr uint64_t kDownloadBytesMax = 1ULL << 40;  // As an image at most.

struct DownloadOrder {
    std::string folder;   // DIR/downloads
    std::string address;  // As in the manifest.
    remote::SourceContext context;
    remote::Cancelled cancelled;
    std::function<void(uint64_t done, uint64_t total)> on_progress;
};

struct Download {
    UniqueFd file;
    std::string path;

    // Nothing of it is needed any more.
    void discard() const;
};

// kConflict: the same address is being fetched; kNoSpace names need and room; and the fetcher's.
Result<Download> download(const DownloadOrder& order);

void remove_old_downloads(const std::string& folder);

}  // namespace rekindle::daemon
