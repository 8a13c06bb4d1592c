// Images that were pulled and that no deployment has named so far: DIR/pulled/IMAGE, whose text is
// the moment of the pull. The collector leaves such an image alone for a while, so that what was
// fetched over hours is not lost before it is deployed.
// Threading: any; every call is a file operation on a name of its own. A crash between two of them
// leaves an image that is kept, or collected, a little longer or earlier than told.
#pragma once
#include "base/result.h"

#include <chrono>
#include <string>
#include <string_view>
#include <utility>

namespace rekindle::daemon {

// Long enough for a pull before a weekend and a deployment after it.
inline constexpr std::chrono::hours kPulledKept{7 * 24};

class PulledImages {
public:
    // The folder is made with the first image.
    explicit PulledImages(std::string folder) : folder_(std::move(folder)) {}

    Result<void> add(std::string_view image, std::chrono::seconds unix_now) const;
    // It was deployed, or is no more.
    void remove(std::string_view image) const;
    // It was pulled less than kPulledKept ago.
    bool kept(std::string_view image, std::chrono::seconds unix_now) const;

private:
    std::string path_of(std::string_view image) const;

    std::string folder_;
};

}  // namespace rekindle::daemon
