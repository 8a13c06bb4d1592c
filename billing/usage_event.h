// What the ledger records about one request, and the rules that say what of it is billed
// (ARCHITECTURE.md "What is billed"; docs/billing.md). Plain values and pure functions.
#pragma once
#include "base/clock.h"
#include "base/decimal.h"
#include "base/random.h"
#include "base/result.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace rekindle::billing {

// 128 bits, big-endian milliseconds first, so that ids sort by time; "req_" + 32 hex on the wire.
struct RequestId {
    std::array<std::byte, 16> bytes{};
    auto operator<=>(const RequestId&) const = default;
    std::string text() const;
    // The exact inverse of text(); kInvalidArgument for anything else.
    static Result<RequestId> parse(std::string_view text);
    // 48 bits of wall time, 80 random bits.
    static RequestId make(const Clock& clock, Entropy& entropy);
};

enum class Outcome : uint8_t {
    kOpen = 0,          // No final record yet.
    kCompleted = 1,     // The last event was sent.
    kDisconnected = 2,  // The client left: billed is what was delivered.
    kFailed = 3,        // We broke it: bills zero; delivered is recorded as forgiven.
    kCrashed = 4,       // rekindled died: closed at recovery by the last mark.
};

// "open", "completed", "disconnected", "failed", "crashed".
std::string_view outcome_name(Outcome outcome) noexcept;

// Each of the strings below; a deployment's revision, the longest in use, has 64.
inline constexpr size_t kLedgerNameBytesMax = 256;

// Known at admission (gate 2); the same for all records of a request.
struct RequestFacts {
    RequestId id;
    std::string organization = "default";
    std::string project = "default";
    std::string key = "default";
    std::string model;     // Deployment name.
    std::string revision;  // Digest of the deployment's canonical manifest.
    PicoPerToken price_input = 0;
    PicoPerToken price_cached = 0;
    PicoPerToken price_output = 0;
    std::string currency = "USD";
    uint32_t prompt_tokens = 0;
    uint32_t cached_tokens = 0;  // Part of prompt_tokens.
    bool streamed = false;
    int64_t started_unix_ms = 0;
    bool operator==(const RequestFacts&) const = default;
};

struct UsageFinal {
    RequestFacts facts;
    Outcome outcome = Outcome::kOpen;
    uint32_t completion_tokens = 0;  // Sampled.
    uint32_t delivered_tokens = 0;   // Sent before the close was seen.
    uint32_t billed_prompt = 0;
    uint32_t billed_cached = 0;
    uint32_t billed_completion = 0;
    uint32_t forgiven_tokens = 0;  // Delivered, but not billed because we broke the stream.
    PicoAmount cost = 0;           // billed x prices, exact.
    int64_t finished_unix_ms = 0;
    uint32_t restore_ms = 0;  // 0 when the model was warm.
    bool operator==(const UsageFinal&) const = default;
};

// The one place that decides what is billed. `delivered` counts completion tokens whose bytes were
// handed to the socket before the close was seen; `prefill_began` matters for abandoned requests.
UsageFinal settle(const RequestFacts& facts, Outcome outcome, uint32_t completion,
                  uint32_t delivered, bool prefill_began);

// Billed tokens x prices, exact.
PicoAmount price_of(const UsageFinal& usage) noexcept;
// What the ledger takes: names of 1 to kLedgerNameBytesMax bytes, prices >= 0, cached <= prompt.
Result<void> check_facts(const RequestFacts& facts);
// That settle() could have made it: the check before a record is written, and of every audit.
Result<void> check_final(const UsageFinal& usage);

}  // namespace rekindle::billing
