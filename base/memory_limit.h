// How much memory this process may really use: less than the machine has when its control group has
// a limit (a container's). Beyond that the kernel ends processes. Threading: any thread; reads a
// few small files.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rekindle {

// The tightest memory.max of the control groups around a process (see control_group_folders);
// nothing without a limit.
std::optional<uint64_t> cgroup_memory_limit(std::string_view memberships, const std::string& root);

// Of the machine, in bytes.
uint64_t machine_memory_bytes();
// The smaller one of the two.
uint64_t usable_memory_bytes();

}  // namespace rekindle
