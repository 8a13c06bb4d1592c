// How many cores this process may really use: fewer than the machine has when it was pinned to some
// (sched_setaffinity, cpusets) or its control group has a CPU limit (a container's). More compute
// threads than that would be throttled in the middle of a step.
// Threading: any thread; reads a few small files.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rekindle {

// Cores of the CPU limit that a cgroup v2 file cpu.max states ("200000 100000": 2); nothing for
// "max" or for text that is no limit.
std::optional<double> parse_cpu_max(std::string_view text);

// The tightest limit of the control groups around a process. `memberships` is the text of its
// /proc/self/cgroup, `root` the folder where cgroup v2 is mounted.
std::optional<double> cgroup_cpu_limit(std::string_view memberships, const std::string& root);

// At least 1. A limit of 2.5 cores counts as 2: a third thread would stop the others each period.
uint32_t usable_cores();

}  // namespace rekindle
