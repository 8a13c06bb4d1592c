// The daemon's own ledger (billing/detail/ledger_desk.h) without its thread: turns are taken on
// simulated time, a while after there is something to do, longer when the disk is slow.
// Threading: one thread.
#pragma once
#include "billing/detail/ledger_desk.h"
#include "tests/sim/disk.h"
#include "tests/sim/world.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace rekindle::sim {

// Outlives daemons.
struct LedgerFaults {
    Nanoseconds slow_until{};
    uint32_t refuse_begins = 0;  // As a full queue does.
    std::optional<Nanoseconds> refused_at;
};

class DrivenLedger final : public billing::Ledger {
public:
    static Result<std::unique_ptr<DrivenLedger>> open(const std::string& folder, World& world,
                                                      Disk& disk, LedgerFaults& faults);

    void begin(billing::RequestFacts facts, Done done) override;
    void mark(std::vector<billing::ProgressMark> marks, Written written) override;
    void finish(billing::UsageFinal final_record, Done done) override;
    bool healthy() const noexcept override { return desk_->healthy(); }
    Result<std::vector<billing::UsageRow>> usage(const billing::UsageQuery& query) const override {
        return desk_->usage(query);
    }
    Result<billing::UsageFinal> find(const billing::RequestId& id) const override {
        return desk_->find(id);
    }
    Result<billing::LedgerReport> verify() const override { return desk_->verify(); }
    Result<void> copy_to(const std::string& folder) const override {
        return desk_->copy_to(folder);
    }

    // One turn now; of a daemon that ends.
    void work() { static_cast<void>(desk_->work(Nanoseconds{0})); }
    // Writes everything and makes it durable.
    void close();

private:
    DrivenLedger(World& world, Disk& disk, LedgerFaults& faults,
                 std::unique_ptr<billing::LedgerDesk> desk)
        : world_(world), disk_(disk), faults_(faults), desk_(std::move(desk)) {}
    void schedule();
    void turn();

    World& world_;
    Disk& disk_;
    LedgerFaults& faults_;
    const std::unique_ptr<billing::LedgerDesk> desk_;
    bool scheduled_ = false;
    uint64_t turns_ = 0;
};

}  // namespace rekindle::sim
