#include "base/units.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <limits>
#include <utility>

namespace rekindle {
namespace {

struct Unit {
    std::string_view suffix;
    uint64_t factor;
};

struct NumberAndUnit {
    uint64_t number;
    std::string_view unit;
};

Result<NumberAndUnit> split_number(std::string_view text, std::string_view what) {
    uint64_t number = 0;
    const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (status != std::errc{}) {
        return Error{ErrorCode::kInvalidArgument, fmt::format("{} is not {}", text, what)};
    }
    std::string_view unit = text.substr(static_cast<size_t>(end - text.data()));
    while (!unit.empty() && unit.front() == ' ') {
        unit.remove_prefix(1);
    }
    return NumberAndUnit{number, unit};
}

template <size_t N>
Result<uint64_t> scale(std::string_view text, const std::array<Unit, N>& units,
                       std::string_view what) {
    const auto split = split_number(text, what);
    if (!split) {
        return split.error();
    }
    for (const Unit& unit : units) {
        if (unit.suffix != split->unit) {
            continue;
        }
        if (split->number > std::numeric_limits<int64_t>::max() / unit.factor) {
            return Error{ErrorCode::kTooLarge, fmt::format("{} is too large", text)};
        }
        return split->number * unit.factor;
    }
    return Error{ErrorCode::kInvalidArgument, fmt::format("{} is not {}", text, what)};
}

}  // namespace

Result<uint64_t> parse_bytes(std::string_view text) {
    static constexpr std::array<Unit, 13> kUnits{{{"", 1},
                                                  {"B", 1},
                                                  {"K", kKiB},
                                                  {"KB", kKiB},
                                                  {"KiB", kKiB},
                                                  {"M", kMiB},
                                                  {"MB", kMiB},
                                                  {"MiB", kMiB},
                                                  {"G", kGiB},
                                                  {"GB", kGiB},
                                                  {"GiB", kGiB},
                                                  {"T", kGiB * 1024},
                                                  {"TiB", kGiB * 1024}}};
    return scale(text, kUnits, "a size such as 512MiB or 4GiB");
}

std::string format_bytes(uint64_t bytes) {
    static constexpr std::array<std::string_view, 5> kNames{"B", "KiB", "MiB", "GiB", "TiB"};
    double value = static_cast<double>(bytes);
    size_t unit = 0;
    while (value >= 1024.0 && unit + 1 < kNames.size()) {
        value /= 1024.0;
        ++unit;
    }
    return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kNames[unit]);
}

Result<std::chrono::milliseconds> parse_duration(std::string_view text) {
    static constexpr std::array<Unit, 6> kUnits{
        {{"ms", 1}, {"", 1000}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}}};
    const auto ms = scale(text, kUnits, "a duration such as 250ms, 30s, 5m, 24h or 7d");
    if (!ms) {
        return ms.error();
    }
    return std::chrono::milliseconds(static_cast<int64_t>(*ms));
}

std::string format_duration(std::chrono::milliseconds duration) {
    const int64_t ms = duration.count();
    if (ms < 1000) {
        return fmt::format("{} ms", ms);
    }
    if (ms < 60'000) {
        return fmt::format("{:.1f} s", static_cast<double>(ms) / 1000.0);
    }
    const int64_t seconds = ms / 1000;
    if (seconds < 3600) {
        return fmt::format("{} m {} s", seconds / 60, seconds % 60);
    }
    if (seconds < 86'400) {
        return fmt::format("{} h {} m", seconds / 3600, seconds % 3600 / 60);
    }
    return fmt::format("{} d {} h", seconds / 86'400, seconds % 86'400 / 3600);
}

}  // namespace rekindle
