// Reads the ledger as an auditor does: walks the chain, re-prices every record and compares the
// indexes with it. Changes nothing. What is wrong becomes a sentence in the report.
// Threading: any thread, on one View.
#pragma once
#include "billing/detail/high_water.h"
#include "billing/detail/store.h"
#include "billing/ledger.h"

#include <cstdint>

namespace rekindle::billing {

inline constexpr size_t kFaultsMax = 100;  // More are counted in the last sentence.

// Of the last `records` records (UINT64_MAX: all). `durable` must be older than the view.
// kUnsupported for a format of a newer program.
Result<LedgerReport> audit(const Store::View& view, const ChainPoint& durable, uint64_t records);

}  // namespace rekindle::billing
