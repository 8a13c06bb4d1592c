#include "billing/ledger.h"

#include "billing/detail/audit.h"
#include "billing/detail/folder.h"
#include "billing/detail/inbox.h"
#include "billing/detail/journal.h"
#include "billing/detail/ledger_thread.h"
#include "billing/detail/reader.h"

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <pthread.h>
#include <thread>
#include <utility>

namespace rekindle::billing {
namespace {

// Begins and marks are durable within twice this: the promise after a power loss is one second.
constexpr std::chrono::milliseconds kSyncEvery{500};

class LedgerThread final : public Ledger {
public:
    LedgerThread(std::unique_ptr<Journal> journal, const Clock& clock)
        : clock_(clock), journal_(std::move(journal)), thread_([this] { run(); }) {}

    ~LedgerThread() override {
        inbox_.close();
        thread_.join();
    }

    void begin(RequestFacts facts, Done done) override {
        offer({std::move(facts), std::move(done)}, kBeginsQueuedMax);
    }

    void mark(std::vector<ProgressMark> marks) override { inbox_.mark(marks); }

    uint64_t marks_pending() const noexcept override { return inbox_.marks_pending(); }

    void finish(UsageFinal final_record, Done done) override {
        offer({std::move(final_record), std::move(done)}, kCommandsQueuedMax);
    }

    bool healthy() const noexcept override { return healthy_.load(std::memory_order_acquire); }

    Result<std::vector<UsageRow>> usage(const UsageQuery& query) const override {
        return read_usage(journal_->store().view(), query);
    }

    Result<UsageFinal> find(const RequestId& id) const override {
        return read_request(journal_->store().view(), id);
    }

    Result<LedgerReport> verify() const override {
        const ChainPoint durable = journal_->durable_point();  // Before the view: not ahead of it.
        return audit(journal_->store().view(), durable, std::numeric_limits<uint64_t>::max());
    }

    Result<void> copy_to(const std::string& folder) const override {
        const ChainPoint durable = journal_->durable_point();  // Before the copy: not ahead of it.
        return copy_ledger(journal_->store(), durable, folder);
    }

private:
    void offer(Command command, size_t queued_max) {
        const auto refusal = inbox_.offer(command, queued_max);
        if (refusal == Inbox::Refusal::kFull) {
            command.done(Error{ErrorCode::kOverloaded,
                               fmt::format("the ledger's queue of {} is full", queued_max)});
        } else if (refusal == Inbox::Refusal::kClosed) {
            command.done(Error{ErrorCode::kUnavailable, "the ledger is closed"});
        }
    }

    void run() {
        ::pthread_setname_np(::pthread_self(), "ledger");
        while (true) {
            const bool unsynced = journal_->unsynced() && journal_->stopped().empty();
            auto delivery = inbox_.wait(unsynced ? std::optional(kSyncEvery) : std::nullopt);
            if (!delivery) {
                break;
            }
            write(*delivery);
            sync_when_due(/*idle=*/delivery->empty());
        }
        if (journal_->unsynced()) {
            static_cast<void>(journal_->sync());  // Logged by the journal; nobody waits for it.
        }
    }

    void write(Delivery& delivery) {
        std::vector<Result<void>> results;
        results.reserve(delivery.commands.size());
        for (const Command& command : delivery.commands) {
            const auto* facts = std::get_if<RequestFacts>(&command.body);
            results.push_back(facts != nullptr
                                  ? journal_->begin(*facts)
                                  : journal_->finish(std::get<UsageFinal>(command.body)));
        }
        for (const ProgressMark& mark : delivery.marks) {
            journal_->mark(mark);
        }
        const auto committed = journal_->commit();
        healthy_.store(journal_->stopped().empty(), std::memory_order_release);
        inbox_.marks_written(delivery.marks_merged);
        for (size_t i = 0; i < results.size(); ++i) {
            const bool staged = results[i].ok();
            delivery.commands[i].done(staged ? committed : std::move(results[i]));
        }
    }

    // Idle: the wait ended without work. Busy: half a second has passed since the last time.
    void sync_when_due(bool idle) {
        if (!journal_->unsynced() || !journal_->stopped().empty()) {
            synced_at_ = clock_.monotonic();
            return;
        }
        if (idle || clock_.monotonic() - synced_at_ >= kSyncEvery) {
            healthy_.store(journal_->sync().ok(), std::memory_order_release);
            synced_at_ = clock_.monotonic();
        }
    }

    const Clock& clock_;
    std::unique_ptr<Journal> journal_;
    Inbox inbox_;
    std::atomic<bool> healthy_{true};
    Nanoseconds synced_at_{};  // When all was durable, at the latest.
    std::thread thread_;       // Last: starts when the rest is there.
};

}  // namespace

Result<std::unique_ptr<Ledger>> open_ledger(const std::string& folder, const Clock& clock,
                                            JournalOptions options) {
    auto journal = Journal::open(folder, clock, std::move(options));
    if (!journal) {
        return journal.error();
    }
    return std::unique_ptr<Ledger>(std::make_unique<LedgerThread>(std::move(*journal), clock));
}

Result<std::unique_ptr<Ledger>> Ledger::open(const std::string& folder, const Clock& clock) {
    return open_ledger(folder, clock, {});
}

Result<LedgerReport> audit_ledger(const std::string& folder) {
    std::error_code ec;
    if (!std::filesystem::exists(store_path(folder), ec)) {
        return Error{ErrorCode::kNotFound, fmt::format("{}: holds no ledger", folder)};
    }
    const auto lock = lock_folder(folder);
    if (!lock) {
        return lock.error();
    }
    const auto point = HighWater::read(high_water_path(folder));
    if (!point) {
        return point.error();
    }
    const auto store = Store::open(store_path(folder), StoreMode::kReadOnly, nullptr);
    if (!store) {
        return store.error();
    }
    return audit(store->view(), *point, std::numeric_limits<uint64_t>::max());
}

}  // namespace rekindle::billing
