// The usage document of the daemon as a table or CSV. Money stays the exact decimal text that the
// daemon sent. Pure functions.
#pragma once
#include "base/json.h"
#include "base/result.h"

#include <string>

namespace rekindle::cli {

// Aligned, with one total line for each currency.
Result<std::string> usage_table(const json::object& usage);
// A header line, then one line a row and no totals, so that a column adds up to what was billed.
Result<std::string> usage_csv(const json::object& usage);

}  // namespace rekindle::cli
