#include "daemon/metered_ledger.h"

#include <boost/asio/post.hpp>

#include <chrono>
#include <utility>

namespace rekindle::daemon {

void MeteredLedger::begin(billing::RequestFacts facts, Done done) {
    const uint64_t ticket = handed_over();
    services_.ledger.begin(std::move(facts), [this, ticket, done = std::move(done),
                                              &context = services_.context](Result<void> result) {
        asio::post(context, [this, ticket] { acknowledged(ticket, "begin"); });
        done(std::move(result));
    });
}

void MeteredLedger::mark(std::vector<billing::ProgressMark> marks, Written written) {
    services_.ledger.mark(std::move(marks), std::move(written));
}

// What is posted here runs before what `done` posts: an answer ends after its money was counted.
void MeteredLedger::finish(billing::UsageFinal final_record, Done done) {
    const uint64_t ticket = handed_over();
    const billing::UsageFinal usage = final_record;
    services_.ledger.finish(std::move(final_record),
                            [this, ticket, usage, done = std::move(done),
                             &context = services_.context](Result<void> result) {
                                asio::post(context, [this, ticket, usage, durable = result.ok()] {
                                    acknowledged(ticket, "final");
                                    if (durable) {
                                        settled(usage);
                                    }
                                });
                                done(std::move(result));
                            });
}

uint64_t MeteredLedger::handed_over() {
    const uint64_t ticket = next_ticket_++;
    waiting_.emplace(ticket, services_.clock.monotonic());
    return ticket;
}

void MeteredLedger::acknowledged(uint64_t ticket, const char* record) {
    const auto node = waiting_.extract(ticket);
    const Nanoseconds took = services_.clock.monotonic() - node.mapped();
    services_.watch.metrics.own.ledger_write.observe({record},
                                                     std::chrono::duration<double>(took).count());
}

void MeteredLedger::settled(const billing::UsageFinal& usage) {
    services_.watch.metrics.settled(usage);
    if (const auto trace = services_.watch.traces.find(usage.facts.id)) {
        trace->durable_at = services_.clock.monotonic();
        trace->bill = usage;
    }
}

std::optional<Nanoseconds> MeteredLedger::lag() const {
    if (waiting_.empty()) {
        return std::nullopt;
    }
    return services_.clock.monotonic() - waiting_.begin()->second;
}

void MeteredLedger::refresh_metrics() {
    RekindleMetrics& own = services_.watch.metrics.own;
    own.ledger_healthy.set(healthy() ? 1 : 0);
    own.ledger_queue.set(static_cast<double>(waiting_.size()));
    own.ledger_lag.set(std::chrono::duration<double>(lag().value_or(Nanoseconds{})).count());
}

}  // namespace rekindle::daemon
