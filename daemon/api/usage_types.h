// Usage on the admin API's wire (docs/admin-api.md). Costs are exact decimal strings.
#pragma once
#include "base/json.h"
#include "base/result.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace rekindle::daemon::api {

// Finished requests of one group, added up.
struct UsageRow {
    std::vector<std::pair<std::string, std::string>> group;  // One for each of `by`, in its order.
    uint64_t requests = 0;
    uint64_t prompt_tokens = 0;
    uint64_t cached_tokens = 0;
    uint64_t completion_tokens = 0;
    uint64_t forgiven_tokens = 0;
    std::string cost;
    std::string currency;
    bool operator==(const UsageRow&) const = default;
};

struct UsageReport {
    std::vector<std::string> by;
    std::vector<UsageRow> rows;
    bool operator==(const UsageReport&) const = default;
};

json::object to_json(const UsageReport& report);
// kInvalidArgument names what is missing or of another type.
Result<UsageReport> parse_usage_report(const json::value& value);

}  // namespace rekindle::daemon::api
