// The ledger's writer: records are staged, then committed in one batch. Owns the chain's head, the
// open requests and the high-water mark; no thread and no queue, so a simulation can drive it.
// Invariant: a begin or final whose commit() succeeded is in the chain exactly once; after a failed
// write or sync nothing is accepted any more.
// Threading: one thread, but store() and chain_point() for readers of any thread.
#pragma once
#include "base/clock.h"
#include "base/unique_fd.h"
#include "billing/detail/store.h"
#include "billing/ledger.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <variant>

namespace rekindle::billing {

// Where a crash test ends the process.
enum class CrashPoint { kBeforeWrite, kBeforeDone };

struct JournalOptions {
    rocksdb::Env* env = nullptr;  // Not owned; null: the machine's own.
    // Records from the end whose chain open() walks; 16,384 take about 0.1 s. verify() walks all.
    uint64_t audit_records = 16'384;
    // A limit on memory after a crash or a leak: 65,536 open requests take about 30 MiB.
    uint32_t open_requests_max = 65'536;
    std::function<void(CrashPoint)> at_point;  // May be empty.
};

struct RequestIdHash {
    size_t operator()(const RequestId& id) const noexcept;
};

class Journal {
public:
    // As Ledger::open.
    static Result<std::unique_ptr<Journal>> open(const std::string& folder, const Clock& clock,
                                                 JournalOptions options);

    // Staged only when successful.
    Result<void> begin(const RequestFacts& facts);
    Result<void> finish(const UsageFinal& usage);
    void mark(const ProgressMark& mark);
    // Writes what was staged; synced when it holds a final. After an error: stopped for good.
    Result<void> commit();
    // Makes begins and marks durable.
    Result<void> sync();

    bool unsynced() const noexcept { return unsynced_; }

    // Why it stopped; empty while healthy.
    const std::string& stopped() const noexcept { return stopped_; }

    const Store& store() const noexcept { return store_; }

    ChainPoint durable_point() const;

private:
    struct OpenRequest {
        RequestFacts facts;
        OpenEntry entry;
    };

    Journal(UniqueFd lock, Store store, HighWater high_water, JournalOptions options);
    Result<void> load();
    Result<void> load_open_requests();
    Result<void> close_crashed(const Clock& clock);
    Result<void> check_id_is_new(const RequestId& id) const;
    void append(const std::variant<RequestFacts, UsageFinal>& body);
    Result<void> extend_hour(int64_t hour, uint64_t sequence);
    Result<void> stop(Error error);
    Result<void> raise_high_water(bool sync);

    UniqueFd lock_;  // flock on FOLDER/lock; released last.
    Store store_;
    JournalOptions options_;
    ChainPoint head_;
    std::unordered_map<RequestId, OpenRequest, RequestIdHash> open_;
    // Staged since the last commit.
    rocksdb::WriteBatch batch_;
    std::unordered_set<RequestId, RequestIdHash> finished_;  // RocksDB does not show these yet.
    std::map<int64_t, HourSpan> hours_;
    bool unsynced_ = false;
    std::string stopped_;
    mutable std::mutex mutex_;  // Guards high_water_ against durable_point().
    HighWater high_water_;
};

}  // namespace rekindle::billing
