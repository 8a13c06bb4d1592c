#include "billing/report.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <array>
#include <chrono>
#include <string_view>

namespace rekindle::billing {
namespace {

using Milliseconds = std::chrono::sys_time<std::chrono::milliseconds>;

Milliseconds finished_at(const UsageFinal& usage) {
    return Milliseconds(std::chrono::milliseconds(usage.finished_unix_ms));
}

std::string day_text(std::chrono::sys_days time) {
    const std::chrono::year_month_day date(time);
    return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(date.year()),
                       static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
}

std::string day_of(const UsageFinal& usage) {
    return day_text(std::chrono::floor<std::chrono::days>(finished_at(usage)));
}

std::string hour_of(const UsageFinal& usage) {
    const auto hour = std::chrono::floor<std::chrono::hours>(finished_at(usage));
    const auto day = std::chrono::floor<std::chrono::days>(hour);
    return fmt::format("{}T{:02}:00Z", day_text(day), (hour - day).count());
}

struct NamedColumn {
    std::string_view name;
    std::string (*value)(const UsageFinal&);
};

constexpr std::array<NamedColumn, 8> kColumns{{
    {"organization", [](const UsageFinal& usage) { return usage.facts.organization; }},
    {"project", [](const UsageFinal& usage) { return usage.facts.project; }},
    {"key", [](const UsageFinal& usage) { return usage.facts.key; }},
    {"model", [](const UsageFinal& usage) { return usage.facts.model; }},
    {"revision", [](const UsageFinal& usage) { return usage.facts.revision; }},
    {"outcome", [](const UsageFinal& usage) { return std::string(outcome_name(usage.outcome)); }},
    {"hour", hour_of},
    {"day", day_of},
}};

const NamedColumn* find_column(std::string_view name) {
    for (const NamedColumn& column : kColumns) {
        if (column.name == name) {
            return &column;
        }
    }
    return nullptr;
}

}  // namespace

Result<UsageTable> UsageTable::make(const std::vector<std::string>& by) {
    std::vector<Column> columns;
    for (const std::string& name : by) {
        const NamedColumn* column = find_column(name);
        if (column == nullptr) {
            return Error{ErrorCode::kInvalidArgument,
                         fmt::format("usage by \"{}\": choose from organization, project, key, "
                                     "model, revision, outcome, hour, day",
                                     name.substr(0, 64))};
        }
        for (const Column chosen : columns) {
            if (chosen == column->value) {
                return Error{ErrorCode::kInvalidArgument,
                             fmt::format("usage by \"{}\": it stands twice", name)};
            }
        }
        columns.push_back(column->value);
    }
    return UsageTable(std::move(columns));
}

Result<void> UsageTable::add(const UsageFinal& usage) {
    std::vector<std::string> key;
    key.reserve(columns_.size() + 1);
    for (const Column column : columns_) {
        key.push_back(column(usage));
    }
    key.push_back(usage.facts.currency);
    auto row = rows_.find(key);
    if (row == rows_.end()) {
        if (rows_.size() >= kUsageRowsMax) {
            return Error{ErrorCode::kTooLarge,
                         fmt::format("usage: more than {} rows; choose a shorter time or fewer "
                                     "columns",
                                     kUsageRowsMax)};
        }
        row = rows_.emplace(std::move(key), UsageRow{}).first;
    }
    UsageRow& sum = row->second;
    ++sum.requests;
    sum.prompt_tokens += usage.billed_prompt;
    sum.cached_tokens += usage.billed_cached;
    sum.completion_tokens += usage.billed_completion;
    sum.forgiven_tokens += usage.forgiven_tokens;
    sum.cost += usage.cost;
    return {};
}

std::vector<UsageRow> UsageTable::rows() && {
    std::vector<UsageRow> out;
    out.reserve(rows_.size());
    for (auto& [key, row] : rows_) {
        row.group.assign(key.begin(), key.end() - 1);
        row.currency = key.back();
        out.push_back(std::move(row));
    }
    rows_.clear();
    return out;
}

}  // namespace rekindle::billing
