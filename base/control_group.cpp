#include "base/control_group.h"

#include <algorithm>
#include <cstddef>
#include <fstream>
#include <iterator>

namespace rekindle {
namespace {

constexpr size_t kDepthMax = 64;  // Of nested control groups.

// The path of the cgroup v2 line "0::/path"; empty without one.
std::string unified_path(std::string_view memberships) {
    constexpr std::string_view kPrefix = "0::";
    while (!memberships.empty()) {
        const size_t end = std::min(memberships.find('\n'), memberships.size());
        const std::string_view line = memberships.substr(0, end);
        if (line.starts_with(kPrefix)) {
            return std::string(line.substr(kPrefix.size()));
        }
        memberships.remove_prefix(std::min(end + 1, memberships.size()));
    }
    return {};
}

}  // namespace

std::string read_small_file(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> control_group_folders(std::string_view memberships,
                                               const std::string& root) {
    std::string path = unified_path(memberships);
    std::vector<std::string> folders;
    while (folders.size() < kDepthMax) {
        folders.push_back(root + path);
        const size_t slash = path.rfind('/');
        if (path.empty() || slash == std::string::npos) {
            break;
        }
        path.resize(slash);
    }
    return folders;
}

}  // namespace rekindle
