// The ledger without its thread: an inbox, the journal, and one turn of work. The daemon gives it a
// thread (ledger.cpp); the simulation takes the turns itself, on simulated time.
// Threading: work() and patience() by one worker; the rest from any thread.
#pragma once
#include "billing/detail/inbox.h"
#include "billing/detail/journal.h"
#include "billing/ledger.h"

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace rekindle::billing {

class LedgerDesk final : public Ledger {
public:
    // As Ledger::open.
    static Result<std::unique_ptr<LedgerDesk>> open(const std::string& folder, const Clock& clock,
                                                    JournalOptions options);

    void begin(RequestFacts facts, Done done) override;
    void mark(std::vector<ProgressMark> marks, Written written) override;
    void finish(UsageFinal final_record, Done done) override;

    bool healthy() const noexcept override { return healthy_.load(std::memory_order_acquire); }

    Result<std::vector<UsageRow>> usage(const UsageQuery& query) const override;
    Result<UsageFinal> find(const RequestId& id) const override;
    Result<LedgerReport> verify() const override;
    Result<void> copy_to(const std::string& folder) const override;

    // How long the next turn waits for something to write; nothing: for ever. When it waited that
    // long in vain, it makes durable what was written unsynced.
    std::optional<Nanoseconds> patience() const;
    // One turn: waits, writes what was queued, tells who waits for it, syncs when that is due.
    // False once closed, when everything is written and durable.
    bool work(std::optional<Nanoseconds> wait);

    // Refuses what comes from now on.
    void close() { inbox_.close(); }

private:
    LedgerDesk(std::unique_ptr<Journal> journal, const Clock& clock)
        : clock_(clock), journal_(std::move(journal)) {}

    void offer(Command command, size_t queued_max);
    void write(Delivery& delivery);
    void sync_when_due(bool idle);

    const Clock& clock_;
    const std::unique_ptr<Journal> journal_;
    Inbox inbox_;
    std::atomic<bool> healthy_{true};
    Nanoseconds synced_at_{};  // When all was durable, at the latest.
};

}  // namespace rekindle::billing
