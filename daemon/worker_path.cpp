#include "daemon/worker_path.h"

#include <filesystem>
#include <system_error>

namespace rekindle::daemon {

Result<std::string> worker_executable() {
    std::error_code ec;
    const auto folder = std::filesystem::read_symlink("/proc/self/exe", ec).parent_path();
    const auto beside = folder / "rekindle-worker";
    for (const auto& worker :
         {beside, folder.parent_path() / "libexec" / "rekindle" / "rekindle-worker"}) {
        if (std::filesystem::exists(worker, ec)) {
            return worker.string();
        }
    }
    return Error{ErrorCode::kNotFound, beside.string() +
                                           " is missing: it belongs beside rekindled, or into "
                                           "../libexec/rekindle"};
}

}  // namespace rekindle::daemon
