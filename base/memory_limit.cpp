#include "base/memory_limit.h"

#include "base/control_group.h"

#include <algorithm>
#include <charconv>
#include <unistd.h>

namespace rekindle {

std::optional<uint64_t> cgroup_memory_limit(std::string_view memberships, const std::string& root) {
    std::optional<uint64_t> tightest;
    for (const std::string& folder : control_group_folders(memberships, root)) {
        const std::string text = read_small_file(folder + "/memory.max");
        uint64_t bytes = 0;
        const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), bytes);
        if (status == std::errc() && bytes > 0) {  // Else "max", or no such file.
            tightest = std::min(tightest.value_or(bytes), bytes);
        }
    }
    return tightest;
}

uint64_t machine_memory_bytes() {
    const auto pages = static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES));
    return pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

uint64_t usable_memory_bytes() {
    const uint64_t machine = machine_memory_bytes();
    const auto limit = cgroup_memory_limit(read_small_file("/proc/self/cgroup"), kCgroupRoot);
    return std::min(machine, limit.value_or(machine));
}

}  // namespace rekindle
