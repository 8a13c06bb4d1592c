#include "base/huge_pages.h"

#include "base/control_group.h"
#include "base/unique_fd.h"

#include <cerrno>
#include <fcntl.h>
#include <span>
#include <string_view>

namespace rekindle {
namespace {

// The chosen word of "always within_size [advise] never"; empty when there is none.
std::string chosen_word(const std::string& text) {
    const size_t open = text.find('[');
    const size_t close = text.find(']', open);
    return open == std::string::npos || close == std::string::npos
               ? std::string()
               : text.substr(open + 1, close - open - 1);
}

// rekindled advises all of its extents, so that "advise" is as good as more.
bool allows(std::string_view setting) noexcept {
    return setting == "always" || setting == "within_size" || setting == "advise" ||
           setting == "force";
}

Result<void> write_setting(const std::string& path, std::string_view word) {
    const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!file.valid()) {
        const int cause = errno;
        Error error = errno_error("open " + path, cause);
        if (cause == EACCES || cause == EPERM || cause == EROFS) {
            error.code = ErrorCode::kForbidden;
        }
        return error;
    }
    return write_all(file.get(), std::as_bytes(std::span(word))).with_context(path);
}

}  // namespace

HugePages read_huge_pages(const std::string& root) {
    HugePages pages;
    pages.setting = chosen_word(read_small_file(root + kShmemHugePages));
    pages.setting_2m = chosen_word(read_small_file(root + kShmemHugePages2M));
    pages.supported = !pages.setting.empty();
    const bool own = pages.setting_2m.empty() || pages.setting_2m == "inherit";
    pages.enabled = allows(own ? pages.setting : pages.setting_2m);
    return pages;
}

Result<void> enable_huge_pages(const std::string& root) {
    const HugePages before = read_huge_pages(root);
    if (!before.supported) {
        return Error{ErrorCode::kUnsupported, "this kernel has no huge pages for memory files"};
    }
    if (before.enabled) {
        return {};
    }
    if (!allows(before.setting)) {
        auto written = write_setting(root + kShmemHugePages, "advise");
        if (!written) {
            return written;
        }
    }
    if (!before.setting_2m.empty() && before.setting_2m != "inherit") {
        return write_setting(root + kShmemHugePages2M, "inherit");
    }
    return {};
}

}  // namespace rekindle
