// Adds finished requests up to rows, by any columns. Pure; the ledger's usage() and invoices use
// it. Invariant: amounts of different currencies are never added.
#pragma once
#include "base/result.h"
#include "billing/ledger.h"
#include "billing/usage_event.h"

#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace rekindle::billing {

inline constexpr size_t kUsageRowsMax = 100'000;

class UsageTable {
public:
    // kInvalidArgument for a column that does not exist or stands twice; it names those that do.
    static Result<UsageTable> make(const std::vector<std::string>& by);

    // kTooLarge when it would be the row after kUsageRowsMax.
    Result<void> add(const UsageFinal& usage);
    // Ordered by group, then currency.
    std::vector<UsageRow> rows() &&;

private:
    using Column = std::string (*)(const UsageFinal&);

    explicit UsageTable(std::vector<Column> columns) : columns_(std::move(columns)) {}

    std::vector<Column> columns_;
    std::map<std::vector<std::string>, UsageRow> rows_;  // Key: the group, then the currency.
};

}  // namespace rekindle::billing
