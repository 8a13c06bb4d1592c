// The self-checks of this node's images: DIR/checks/IMAGE.json, a few for each image, one for each
// key (docs/decisions/0017-self-check.md). A file that can't be read counts as none: it is said in
// the log, and the next deployment or restore records anew.
// Threading: the io thread; files are small, and read only when one is needed.
#pragma once
#include "base/result.h"
#include "daemon/self_check.h"

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rekindle::daemon {

// Of one image; the one that was not used for longest leaves.
inline constexpr size_t kChecksPerImageMax = 8;

class SelfCheckStore {
public:
    // The folder is made with the first check.
    explicit SelfCheckStore(std::string folder) : folder_(std::move(folder)) {}

    // The one with `key`; else the latest with the same type of KV cache; else the latest.
    std::optional<SelfCheck> find(std::string_view image, const CheckKey& key) const;
    // In place of the one with the same key.
    Result<void> put(std::string_view image, const SelfCheck& check);
    // Of an image that is no more.
    void remove(std::string_view image);

private:
    std::string path_of(std::string_view image) const;
    // The latest first.
    std::vector<SelfCheck> read(std::string_view image) const;

    std::string folder_;
};

}  // namespace rekindle::daemon
