// A ledger that is watched: how long it takes to acknowledge, what still waits, and the money of
// every final record once that is durable, so that metrics and `rekindle usage` agree.
// Threading: begin(), mark() and finish() on the io thread, reads as the ledger allows.
// Ownership: ledger, context, clock and watch outlive it; it outlives the run of the io context.
#pragma once
#include "base/async/asio.h"
#include "base/clock.h"
#include "billing/ledger.h"
#include "daemon/watch.h"

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace rekindle::daemon {

class MeteredLedger final : public billing::Ledger {
public:
    struct Services {
        billing::Ledger& ledger;
        asio::io_context& context;
        const Clock& clock;
        Watch& watch;
    };

    explicit MeteredLedger(const Services& services) : services_(services) {}

    MeteredLedger(const MeteredLedger&) = delete;
    MeteredLedger& operator=(const MeteredLedger&) = delete;

    void begin(billing::RequestFacts facts, Done done) override;
    void mark(std::vector<billing::ProgressMark> marks, Written written) override;
    void finish(billing::UsageFinal final_record, Done done) override;

    bool healthy() const noexcept override { return services_.ledger.healthy(); }

    Result<std::vector<billing::UsageRow>> usage(const billing::UsageQuery& query) const override {
        return services_.ledger.usage(query);
    }

    Result<billing::UsageFinal> find(const billing::RequestId& id) const override {
        return services_.ledger.find(id);
    }

    Result<billing::LedgerReport> verify() const override { return services_.ledger.verify(); }

    Result<void> copy_to(const std::string& folder) const override {
        return services_.ledger.copy_to(folder);
    }

    // Age of the oldest record that is not acknowledged yet; nothing when all are.
    std::optional<Nanoseconds> lag() const;
    void refresh_metrics();

private:
    uint64_t handed_over();
    void acknowledged(uint64_t ticket, const char* record);
    void settled(const billing::UsageFinal& usage);

    const Services services_;
    uint64_t next_ticket_ = 0;
    std::map<uint64_t, Nanoseconds> waiting_;  // When each was handed over.
};

}  // namespace rekindle::daemon
