// Answers questions about the ledger from one View of its store. Any thread.
#pragma once
#include "billing/detail/store.h"
#include "billing/ledger.h"

#include <vector>

namespace rekindle::billing {

Result<std::vector<UsageRow>> read_usage(const Store::View& view, const UsageQuery& query);
// An open request has Outcome::kOpen and its last mark.
Result<UsageFinal> read_request(const Store::View& view, const RequestId& id);

}  // namespace rekindle::billing
