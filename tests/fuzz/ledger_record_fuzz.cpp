// Decodes bytes as a record of the ledger: whatever is accepted is canonical and follows the rules
// of billing.
#include "base/check.h"
#include "billing/detail/record.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <variant>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    namespace billing = rekindle::billing;
    const auto bytes = std::as_bytes(std::span(data, size));
    const auto record = billing::decode_record(bytes);
    if (!record) {
        return 0;
    }
    const auto again = billing::encode_record(*record);
    REKINDLE_CHECK(std::equal(again.begin(), again.end(), bytes.begin(), bytes.end()),
                   "a record that decodes encodes to the same bytes");
    if (const auto* usage = std::get_if<billing::UsageFinal>(&record->body)) {
        REKINDLE_CHECK(usage->billed_completion <= usage->delivered_tokens,
                       "never billed more than delivered");
        REKINDLE_CHECK(usage->cost == billing::price_of(*usage), "cost is billed times price");
    }
    return 0;
}
