#include "base/cores.h"

#include "base/control_group.h"

#include <algorithm>
#include <charconv>
#include <sched.h>

namespace rekindle {
namespace {

uint32_t affinity_cores() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0) {
        return 1;  // More CPUs than cpu_set_t holds: no machine that this is built for.
    }
    return static_cast<uint32_t>(std::max(1, CPU_COUNT(&set)));
}

}  // namespace

std::optional<double> parse_cpu_max(std::string_view text) {
    uint64_t quota = 0;
    uint64_t period = 0;
    const char* const end = text.data() + text.size();
    const auto first = std::from_chars(text.data(), end, quota);
    if (first.ec != std::errc() || first.ptr == end || *first.ptr != ' ') {
        return std::nullopt;
    }
    const auto second = std::from_chars(first.ptr + 1, end, period);
    if (second.ec != std::errc() || quota == 0 || period == 0) {
        return std::nullopt;
    }
    return static_cast<double>(quota) / static_cast<double>(period);
}

std::optional<double> cgroup_cpu_limit(std::string_view memberships, const std::string& root) {
    std::optional<double> tightest;
    for (const std::string& folder : control_group_folders(memberships, root)) {
        const auto limit = parse_cpu_max(read_small_file(folder + "/cpu.max"));
        if (limit) {
            tightest = std::min(tightest.value_or(*limit), *limit);
        }
    }
    return tightest;
}

uint32_t usable_cores() {
    const uint32_t cores = affinity_cores();
    const auto limit = cgroup_cpu_limit(read_small_file("/proc/self/cgroup"), kCgroupRoot);
    if (!limit || *limit >= cores) {
        return cores;
    }
    return std::max(1U, static_cast<uint32_t>(*limit));
}

}  // namespace rekindle
