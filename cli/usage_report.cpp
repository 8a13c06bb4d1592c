#include "cli/usage_report.h"

#include "cli/api.h"
#include "cli/text.h"
#include "cli/values.h"

#include <boost/json/array.hpp>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace rekindle::cli {

namespace {

constexpr std::array<const char*, 5> kCounts{"requests", "prompt_tokens", "cached_tokens",
                                             "completion_tokens", "forgiven_tokens"};

// Titles that are shorter than the members' names, in the order of kCounts.
constexpr std::array<const char*, 5> kCountTitles{"REQUESTS", "PROMPT", "CACHED", "COMPLETION",
                                                  "FORGIVEN"};

struct Total {
    std::array<uint64_t, kCounts.size()> counts{};
    std::string cost = "0";
};

Result<std::vector<std::string>> group_names(const json::object& usage) {
    const json::value* by = usage.if_contains("by");
    if (by == nullptr || !by->is_array()) {
        return Error{ErrorCode::kInternal, "the daemon's answer has no list 'by'"};
    }
    std::vector<std::string> names;
    for (const json::value& name : by->get_array()) {
        if (!name.is_string()) {
            return Error{ErrorCode::kInternal, "the daemon's list 'by' holds more than names"};
        }
        names.emplace_back(name.get_string());
    }
    return names;
}

std::vector<std::string> cells_of(const json::object& row, const std::vector<std::string>& by) {
    std::vector<std::string> cells;
    for (const std::string& name : by) {
        cells.push_back(text_member(row, name));
    }
    for (const char* count : kCounts) {
        cells.push_back(std::to_string(count_member(row, count)));
    }
    cells.push_back(text_member(row, "cost"));
    cells.push_back(text_member(row, "currency"));
    return cells;
}

std::string upper(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    return text;
}

std::vector<Column> table_columns(const std::vector<std::string>& by) {
    std::vector<Column> columns;
    for (const std::string& name : by) {
        columns.push_back({upper(name)});
    }
    for (const char* title : kCountTitles) {
        columns.push_back({title, true});
    }
    columns.push_back({"COST", true});
    columns.push_back({"CURRENCY"});
    return columns;
}

Result<void> add_row(Total& total, const json::object& row) {
    for (size_t i = 0; i < kCounts.size(); ++i) {
        total.counts[i] += count_member(row, kCounts[i]);
    }
    auto sum = add_amounts(total.cost, text_member(row, "cost"));
    if (!sum) {
        return sum.error();
    }
    total.cost = *std::move(sum);
    return {};
}

std::vector<std::string> total_cells(const Total& total, const std::string& currency,
                                     size_t group_columns) {
    std::vector<std::string> cells(group_columns);
    if (group_columns > 0) {
        cells.front() = "total";
    }
    for (const uint64_t count : total.counts) {
        cells.push_back(std::to_string(count));
    }
    cells.push_back(total.cost);
    cells.push_back(currency);
    return cells;
}

}  // namespace

Result<std::string> usage_table(const json::object& usage) {
    const auto by = group_names(usage);
    const auto rows = array_member(usage, "rows");
    if (!by || !rows) {
        return by ? rows.error() : by.error();
    }
    std::vector<std::vector<std::string>> lines;
    std::map<std::string, Total> totals;
    for (const json::value& value : *rows) {
        const json::object& row = value.get_object();
        lines.push_back(cells_of(row, *by));
        auto added = add_row(totals[text_member(row, "currency")], row);
        if (!added) {
            return added.error();
        }
    }
    if (!by->empty()) {
        for (const auto& [currency, total] : totals) {
            lines.push_back(total_cells(total, currency, by->size()));
        }
    }
    return format_table(table_columns(*by), lines);
}

Result<std::string> usage_csv(const json::object& usage) {
    const auto by = group_names(usage);
    const auto rows = array_member(usage, "rows");
    if (!by || !rows) {
        return by ? rows.error() : by.error();
    }
    std::vector<std::string> header = *by;
    header.insert(header.end(), kCounts.begin(), kCounts.end());
    header.insert(header.end(), {"cost", "currency"});
    std::string out = format_csv_row(header);
    for (const json::value& row : *rows) {
        out += format_csv_row(cells_of(row.get_object(), *by));
    }
    return out;
}

}  // namespace rekindle::cli
