// The ledger: append-only usage records in its own RocksDB, hash-chained, exactly once per request.
// open → marks (unsynced, once a step for all streams) → final (synced before it is acknowledged).
// After kill -9, open requests are closed at the next start by their last mark.
// Threading: one ledger thread owns sequence and hash chain; members may be called from any thread.
#pragma once
#include "base/clock.h"
#include "base/result.h"
#include "billing/usage_event.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace rekindle::billing {

struct ProgressMark {
    RequestId id;
    uint32_t delivered_tokens = 0;
};

// Finished requests of [since, until).
struct UsageQuery {
    int64_t since_unix_ms = 0;
    int64_t until_unix_ms = INT64_MAX;
    // Any of "organization", "project", "key", "model", "revision", "outcome", "hour", "day".
    std::vector<std::string> by;
};

struct UsageRow {
    std::vector<std::string> group;  // One value for each of `by`.
    uint64_t requests = 0;
    uint64_t prompt_tokens = 0;  // Billed, cached ones included.
    uint64_t cached_tokens = 0;
    uint64_t completion_tokens = 0;  // Billed.
    uint64_t forgiven_tokens = 0;
    PicoAmount cost = 0;
    std::string currency;  // Rows of different currencies are never added up.
};

struct LedgerReport {
    uint64_t records = 0;
    uint64_t open_requests = 0;
    uint64_t last_sequence = 0;
    std::vector<std::string> faults;  // Empty when the chain is whole.
};

class Ledger {
public:
    // Opens or creates; closes requests that a crash left open. kConflict when another process
    // holds it, kCorrupt when the chain is broken (nothing is changed then).
    static Result<std::unique_ptr<Ledger>> open(const std::string& folder, const Clock& clock);
    // Writes everything queued, then closes.
    virtual ~Ledger() = default;

    // Called on the ledger thread after the write (begin: unsynced; finish: after the sync); at
    // once on the caller's when the queue is full (kOverloaded).
    using Done = std::function<void(Result<void>)>;

    // The request exists from here on: input is debited. kConflict for an id that is known.
    virtual void begin(RequestFacts facts, Done done) = 0;
    // Written in one batch, unsynced. Unknown ids are ignored. Never waits: marks that are still
    // queued are merged with later ones of the same request. `written` (may be empty) is called on
    // the ledger thread once a crash no longer loses them, or the ledger has stopped: who sends a
    // step only when that was called for the one before is never more than one step ahead of what a
    // crash would bill.
    using Written = std::function<void()>;
    virtual void mark(std::vector<ProgressMark> marks, Written written) = 0;

    // Durable when `done` is called with success. A second final of one id is kConflict, an id that
    // was never begun kNotFound; kInvalidArgument when the facts are not those it began with, or
    // the amounts not those of settle().
    virtual void finish(UsageFinal final_record, Done done) = 0;
    // False after a failed write or sync: admission must refuse (503) rather than serve unbilled.
    virtual bool healthy() const noexcept = 0;

    // Reads; any thread but the io threads.
    virtual Result<std::vector<UsageRow>> usage(const UsageQuery& query) const = 0;
    virtual Result<UsageFinal> find(const RequestId& id) const = 0;
    virtual Result<LedgerReport> verify() const = 0;
    // A ledger of its own in `folder`, which must not exist: all records that are durable now, and
    // maybe later ones. Requests that are open in it are closed when it is opened, by their last
    // mark. Writing goes on meanwhile; `folder` lies on the ledger's own disk.
    virtual Result<void> copy_to(const std::string& folder) const = 0;
};

// What verify() says of a ledger that no process has open; also of one that open() refuses as
// broken. Changes nothing. kNotFound without a ledger, kConflict while it is open.
Result<LedgerReport> audit_ledger(const std::string& folder);

}  // namespace rekindle::billing
