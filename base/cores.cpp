#include "base/cores.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <sched.h>

namespace rekindle {
namespace {

constexpr const char* kCgroupRoot = "/sys/fs/cgroup";
constexpr uint32_t kDepthMax = 64;  // Of nested control groups.

std::string read_file(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

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
    std::string path = unified_path(memberships);
    std::optional<double> tightest;
    for (uint32_t depth = 0; depth < kDepthMax; ++depth) {
        const auto limit = parse_cpu_max(read_file(root + path + "/cpu.max"));
        if (limit) {
            tightest = std::min(tightest.value_or(*limit), *limit);
        }
        const size_t slash = path.rfind('/');
        if (path.empty() || slash == std::string::npos) {
            break;
        }
        path.resize(slash);
    }
    return tightest;
}

uint32_t usable_cores() {
    const uint32_t cores = affinity_cores();
    const auto limit = cgroup_cpu_limit(read_file("/proc/self/cgroup"), kCgroupRoot);
    if (!limit || *limit >= cores) {
        return cores;
    }
    return std::max(1U, static_cast<uint32_t>(*limit));
}

}  // namespace rekindle
