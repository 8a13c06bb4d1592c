#include "billing/detail/ledger_desk.h"

#include "billing/detail/audit.h"
#include "billing/detail/folder.h"
#include "billing/detail/reader.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <utility>

namespace rekindle::billing {
namespace {

// Begins and marks are durable within twice this: the promise after a power loss is one second.
constexpr std::chrono::milliseconds kSyncEvery{500};

}  // namespace

Result<std::unique_ptr<LedgerDesk>> LedgerDesk::open(const std::string& folder, const Clock& clock,
                                                     JournalOptions options) {
    auto journal = Journal::open(folder, clock, std::move(options));
    if (!journal) {
        return journal.error();
    }
    return std::unique_ptr<LedgerDesk>(new LedgerDesk(std::move(*journal), clock));
}

void LedgerDesk::begin(RequestFacts facts, Done done) {
    offer({std::move(facts), std::move(done)}, kBeginsQueuedMax);
}

void LedgerDesk::mark(std::vector<ProgressMark> marks, Written written) {
    inbox_.mark(marks, std::move(written));
}

void LedgerDesk::finish(UsageFinal final_record, Done done) {
    offer({std::move(final_record), std::move(done)}, kCommandsQueuedMax);
}

Result<std::vector<UsageRow>> LedgerDesk::usage(const UsageQuery& query) const {
    return read_usage(journal_->store().view(), query);
}

Result<UsageFinal> LedgerDesk::find(const RequestId& id) const {
    return read_request(journal_->store().view(), id);
}

Result<LedgerReport> LedgerDesk::verify() const {
    const ChainPoint durable = journal_->durable_point();  // Before the view: not ahead of it.
    return audit(journal_->store().view(), durable, std::numeric_limits<uint64_t>::max());
}

Result<void> LedgerDesk::copy_to(const std::string& folder) const {
    const ChainPoint durable = journal_->durable_point();  // Before the copy: not ahead of it.
    return copy_ledger(journal_->store(), durable, folder);
}

void LedgerDesk::offer(Command command, size_t queued_max) {
    const auto refusal = inbox_.offer(command, queued_max);
    if (refusal == Inbox::Refusal::kFull) {
        command.done(Error{ErrorCode::kOverloaded,
                           fmt::format("the ledger's queue of {} is full", queued_max)});
    } else if (refusal == Inbox::Refusal::kClosed) {
        command.done(Error{ErrorCode::kUnavailable, "the ledger is closed"});
    }
}

std::optional<Nanoseconds> LedgerDesk::patience() const {
    const bool unsynced = journal_->unsynced() && journal_->stopped().empty();
    return unsynced ? std::optional<Nanoseconds>(kSyncEvery) : std::nullopt;
}

bool LedgerDesk::work(std::optional<Nanoseconds> wait) {
    auto delivery = inbox_.wait(wait);
    if (!delivery) {
        if (journal_->unsynced()) {
            static_cast<void>(journal_->sync());  // Logged by the journal; nobody waits for it.
        }
        return false;
    }
    write(*delivery);
    sync_when_due(/*idle=*/delivery->empty());
    return true;
}

void LedgerDesk::write(Delivery& delivery) {
    std::vector<Result<void>> results;
    results.reserve(delivery.commands.size());
    for (const Command& command : delivery.commands) {
        const auto* facts = std::get_if<RequestFacts>(&command.body);
        results.push_back(facts != nullptr ? journal_->begin(*facts)
                                           : journal_->finish(std::get<UsageFinal>(command.body)));
    }
    for (const ProgressMark& mark : delivery.marks) {
        journal_->mark(mark);
    }
    const auto committed = journal_->commit();
    healthy_.store(journal_->stopped().empty(), std::memory_order_release);
    for (const Written& written : delivery.written) {
        if (written) {
            written();
        }
    }
    for (size_t i = 0; i < results.size(); ++i) {
        const bool staged = results[i].ok();
        delivery.commands[i].done(staged ? committed : std::move(results[i]));
    }
}

// Idle: the wait ended without work. Busy: half a second has passed since the last time.
void LedgerDesk::sync_when_due(bool idle) {
    if (!journal_->unsynced() || !journal_->stopped().empty()) {
        synced_at_ = clock_.monotonic();
        return;
    }
    if (idle || clock_.monotonic() - synced_at_ >= kSyncEvery) {
        healthy_.store(journal_->sync().ok(), std::memory_order_release);
        synced_at_ = clock_.monotonic();
    }
}

}  // namespace rekindle::billing
