// Requests and final records that the tests and their helper process make alike.
#pragma once
#include "billing/detail/ledger_thread.h"
#include "billing/ledger.h"

#include <cstdint>

namespace rekindle::billing {

RequestId id_of(uint64_t number);
// A request for 100 prompt tokens, 20 of them cached; prices 1000, 100 and 3000 pico a token.
RequestFacts facts_of(uint64_t number);
// facts_of(number), settled one hour after the ManualClock's start.
UsageFinal final_of(uint64_t number, Outcome outcome, uint32_t completion, uint32_t delivered);

}  // namespace rekindle::billing
