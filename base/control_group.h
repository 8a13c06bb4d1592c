// The control groups (cgroup v2) around a process: limits of a container lie in small files of
// these folders. Threading: any thread.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace rekindle {

inline constexpr const char* kCgroupRoot = "/sys/fs/cgroup";

// The folders of a process's control group and of those around it, innermost first. `memberships`
// is the text of its /proc/self/cgroup, `root` the folder where cgroup v2 is mounted; without a
// cgroup v2 membership it is `root` alone.
std::vector<std::string> control_group_folders(std::string_view memberships,
                                               const std::string& root);

// A whole small file; empty when it can't be read.
std::string read_small_file(const std::string& path);

}  // namespace rekindle
