// One record of the ledger's chain as bytes (docs/formats/ledger.md). A record holds its sequence
// and the SHA-256 of the record before it, so that a removed or altered one is noticed.
// Invariant: encoding is canonical; bytes that decode encode to themselves.
#pragma once
#include "base/hash.h"
#include "base/result.h"
#include "billing/usage_event.h"

#include <cstdint>
#include <span>
#include <variant>
#include <vector>

namespace rekindle::billing {

inline constexpr uint8_t kRecordVersion = 1;

struct LedgerRecord {
    uint64_t sequence = 0;                        // From 1, without gaps.
    Sha256Digest previous{};                      // All zeros for the first.
    std::variant<RequestFacts, UsageFinal> body;  // A begin, or a final.
};

std::vector<std::byte> encode_record(const LedgerRecord& record);
// kCorrupt for anything that encode_record cannot have made, kUnsupported for a newer version.
Result<LedgerRecord> decode_record(std::span<const std::byte> bytes);

}  // namespace rekindle::billing
