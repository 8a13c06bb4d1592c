// Ledger as Ledger::open makes it, with what tests replace: file system, limits, crash points.
#pragma once
#include "billing/detail/journal.h"
#include "billing/ledger.h"

#include <memory>
#include <string>

namespace rekindle::billing {

Result<std::unique_ptr<Ledger>> open_ledger(const std::string& folder, const Clock& clock,
                                            JournalOptions options);

}  // namespace rekindle::billing
