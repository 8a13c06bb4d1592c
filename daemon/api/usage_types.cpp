#include "daemon/api/usage_types.h"

#include "daemon/api/fields.h"

#include <optional>

namespace rekindle::daemon::api {
namespace {

json::object to_json(const UsageRow& row) {
    json::object out;
    for (const auto& [name, value] : row.group) {
        out[name] = value;
    }
    out["requests"] = row.requests;
    out["prompt_tokens"] = row.prompt_tokens;
    out["cached_tokens"] = row.cached_tokens;
    out["completion_tokens"] = row.completion_tokens;
    out["forgiven_tokens"] = row.forgiven_tokens;
    out["cost"] = row.cost;
    out["currency"] = row.currency;
    return out;
}

Result<UsageRow> parse_row(const json::value& value, const std::vector<std::string>& by) {
    Fields fields(value, "usage row");
    UsageRow row;
    for (const std::string& column : by) {
        row.group.emplace_back(column, fields.text(column));
    }
    row.requests = fields.count("requests");
    row.prompt_tokens = fields.count("prompt_tokens");
    row.cached_tokens = fields.count("cached_tokens");
    row.completion_tokens = fields.count("completion_tokens");
    row.forgiven_tokens = fields.count("forgiven_tokens");
    row.cost = fields.text("cost");
    row.currency = fields.text("currency");
    if (fields.error()) {
        return *fields.error();
    }
    return row;
}

}  // namespace

json::object to_json(const UsageReport& report) {
    json::array rows;
    for (const UsageRow& row : report.rows) {
        rows.push_back(to_json(row));
    }
    json::array by;
    for (const std::string& column : report.by) {
        by.emplace_back(column);
    }
    return {{"by", std::move(by)}, {"rows", std::move(rows)}};
}

Result<UsageReport> parse_usage_report(const json::value& value) {
    Fields fields(value, "usage");
    const json::array* by = fields.member("by").if_array();
    const json::array* rows = fields.member("rows").if_array();
    if (by == nullptr || rows == nullptr) {
        fields.fail("by and rows", "arrays");
        return *fields.error();
    }
    UsageReport report;
    for (const json::value& column : *by) {
        if (!column.is_string()) {
            fields.fail("by", "an array of strings");
            return *fields.error();
        }
        report.by.emplace_back(column.get_string());
    }
    for (const json::value& element : *rows) {
        auto row = parse_row(element, report.by);
        if (!row) {
            return row.error();
        }
        report.rows.push_back(std::move(row).value());
    }
    return report;
}

}  // namespace rekindle::daemon::api
