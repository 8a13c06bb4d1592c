#include "cli/doctor_text.h"

#include "cli/api.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

namespace rekindle::cli {

namespace {

// "huge_pages" is "huge pages".
std::string spoken(std::string name) {
    std::ranges::replace(name, '_', ' ');
    return name;
}

std::string check_line(const json::object& check) {
    std::string line = fmt::format("{:<8} {:<14} {}", text_member(check, "health"),
                                   spoken(text_member(check, "name")), text_member(check, "found"));
    if (check.contains("remedy")) {
        line += ": " + text_member(check, "remedy");
    }
    return line + "\n";
}

std::optional<double> giga(const json::object& limits, std::string_view key) {
    constexpr double kGiga = 1e9;
    const uint64_t count = count_member(limits, key);
    return count == 0 ? std::nullopt : std::optional(static_cast<double>(count) / kGiga);
}

std::string limits_text(const json::object& limits) {
    const auto disk = giga(limits, "disk_bytes_per_second");
    const auto memory = giga(limits, "memory_bytes_per_second");
    const auto int8 = giga(limits, "int8_per_second");
    const json::value* direct = limits.if_contains("disk_direct");
    const bool is_direct = direct != nullptr && direct->is_bool() && direct->get_bool();
    const uint64_t threads = count_member(limits, "threads");
    std::string text = "\nlimits of this machine, as measured now\n";
    text += disk ? fmt::format("disk     {:.2f} GB/s, {} reads of 1 MiB, 16 at a time\n", *disk,
                               is_direct ? "O_DIRECT" : "buffered")
                 : "disk     not measured\n";
    text += memory ? fmt::format("memory   {:.1f} GB/s read by {} threads\n", *memory, threads)
                   : "memory   not measured\n";
    text += int8 ? fmt::format("int8     {:.0f} Gop/s on {} threads\n", *int8, threads)
                 : "int8     not measured: these kernels have no such instruction\n";
    return text + "PCIe     no GPU\n";
}

}  // namespace

std::string doctor_text(const json::object& report) {
    std::string text;
    if (const auto checks = array_member(report, "checks")) {
        for (const json::value& check : *checks) {
            text += check_line(check.get_object());
        }
    }
    if (const json::value* limits = report.if_contains("limits");
        limits != nullptr && limits->is_object()) {
        text += limits_text(limits->get_object());
    }
    return text;
}

}  // namespace rekindle::cli
