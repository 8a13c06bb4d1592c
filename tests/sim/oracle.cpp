#include "tests/sim/oracle.h"

#include "kernels/kernel_table.h"

#include <algorithm>
#include <chrono>
#include <optional>

namespace rekindle::sim {
namespace {

using billing::Outcome;
using billing::UsageFinal;

// After a power loss a bill is short by at most this much time.
constexpr Nanoseconds kPowerLossMax = std::chrono::seconds(1);
// A settlement that nobody waits for is written within this (a slow disk included).
constexpr Nanoseconds kSettleMax = std::chrono::seconds(1);

class Judge {
public:
    Judge(World& world, const Attempts& attempts, const Attempt& attempt,
          const std::optional<UsageFinal>& record)
        : world_(world), attempts_(attempts), attempt_(attempt), record_(record) {}

    // `death`: the daemon died while this was under way or not settled.
    void decide(const std::optional<DaemonEnd>& death) {
        if (record_) {
            check_facts();
        }
        if (attempt_.endings != 1) {
            fail(fmt::format("{} endings", attempt_.endings));
        }
        if (attempt_.acknowledged) {
            completed();
        } else if (death) {
            crashed(*death);
        } else if (attempt_.ending == Ending::kError) {
            failed();
        } else if (attempt_.ending == Ending::kLeft) {
            left();
        } else {
            fail(fmt::format("ended as {} without a bill or a reason", name_of(attempt_.ending)));
        }
    }

private:
    void fail(const std::string& what) {
        std::string state = "no record";
        if (record_) {
            state = fmt::format("{} billed {}+{} delivered {} of {} forgiven {}",
                                outcome_name(record_->outcome), record_->billed_prompt,
                                record_->billed_completion, record_->delivered_tokens,
                                record_->completion_tokens, record_->forgiven_tokens);
        }
        world_.fail(fmt::format("attempt {} ({} {}, delivered {}): {}; ledger: {}", attempt_.number,
                                attempt_.plan->client.streamed ? "streamed" : "whole",
                                name_of(attempt_.ending), attempt_.delivered(), what, state));
    }

    void check_facts() {
        const bool same = record_->facts.id == attempt_.id &&
                          record_->facts.model == attempt_.image->name &&
                          record_->facts.streamed == attempt_.plan->client.streamed;
        const bool prompt = record_->facts.prompt_tokens == attempt_.expected.prompt_tokens;
        if (!same || !prompt) {
            fail(fmt::format("the record's facts are another request's: prompt {}",
                             record_->facts.prompt_tokens));
        }
        check_cached();
        if (record_->cost != billing::price_of(*record_)) {
            fail("its cost is not its price");
        }
    }

    // Cached is at most what the tenant itself had asked or been answered before.
    void check_cached() {
        const uint32_t cached = record_->facts.cached_tokens;
        const auto begins_alike = [&](const auto& other) {
            const auto& mine = attempt_.expected.tokens;
            const auto& theirs = other->expected.tokens;
            return other.get() != &attempt_ && other->image == attempt_.image &&
                   other->plan->project == attempt_.plan->project && theirs.size() >= cached &&
                   std::equal(mine.begin(), mine.begin() + cached, theirs.begin());
        };
        if (cached > 0 &&
            (cached % kernels::kPageTokens != 0 || cached >= attempt_.expected.prompt_tokens ||
             std::ranges::none_of(attempts_, begins_alike))) {
            fail(
                fmt::format("{} tokens are said to have been cached, and can't have been", cached));
        }
    }

    // Durable before the last event: nothing that happens later takes it away.
    void completed() {
        const uint32_t all = attempt_.expected.sampled;
        if (!record_ || *record_ != *attempt_.acknowledged) {
            fail("the final that was acknowledged is not in the ledger");
        } else if (record_->outcome != Outcome::kCompleted || record_->billed_completion != all ||
                   record_->completion_tokens != all ||
                   record_->billed_prompt != attempt_.expected.prompt_tokens) {
            fail(fmt::format("a whole answer of {} tokens", all));
        }
    }

    // Nothing is billed that was not delivered, but a last event whose final came first.
    void crashed(const DaemonEnd& death) {
        if (record_ && record_->outcome == Outcome::kFailed) {  // Settled in time as ours to bear.
            failed();
            return;
        }
        const uint32_t delivered = attempt_.delivered();
        const uint32_t carried =
            attempt_.finish_called ? attempt_.sampled_at_finish - delivered : 0;
        const uint32_t billed = record_ ? record_->billed_completion : 0;
        if (billed > delivered + carried) {
            fail("billed more than was delivered");
        }
        if (attempt_.ending == Ending::kError && billed > delivered) {
            fail("billed a stream that broke");
        }
        uint32_t least = delivered - std::min(delivered, attempt_.last_write);
        if (death.kind == CrashKind::kPowerLoss) {
            least = attempt_.delivered_by(death.at - kPowerLossMax);
        }
        const bool broke = attempt_.ending == Ending::kError;
        const bool streamed = attempt_.plan->client.streamed;
        if (streamed && !broke && billed < least) {
            fail(fmt::format("billed less than {} after a {}", least,
                             death.kind == CrashKind::kKill ? "kill" : "power loss"));
        }
        if (record_ && record_->outcome == Outcome::kCompleted && !attempt_.finish_called) {
            fail("completed, but nobody said so");
        }
    }

    // We broke it: bills zero, and what was delivered is forgiven.
    void failed() {
        if (!record_) {
            if (attempt_.delivered() > 0) {
                fail("delivered, but the ledger does not know it");
            }
            return;
        }
        const bool free =
            record_->billed_prompt == 0 && record_->billed_completion == 0 && record_->cost == 0;
        if (record_->outcome != Outcome::kFailed || !free ||
            record_->forgiven_tokens != attempt_.delivered()) {
            fail("a stream that broke bills nothing and forgives what was delivered");
        }
    }

    // The client left: billed is what was delivered, exactly.
    void left() {
        if (!record_) {
            if (attempt_.delivered() > 0 || attempt_.relayed > 0) {
                fail("sampled for, but the ledger does not know it");
            }
            return;
        }
        const bool streamed = attempt_.plan->client.streamed;
        // An error and a leaving client may meet: then we broke it.
        if (record_->outcome == Outcome::kFailed) {
            failed();
            return;
        }
        const uint32_t due = streamed ? attempt_.delivered() : 0;
        const bool prompt = record_->billed_prompt == attempt_.expected.prompt_tokens ||
                            (record_->billed_prompt == 0 && attempt_.relayed == 0);
        if (record_->outcome != Outcome::kDisconnected || record_->billed_completion != due ||
            !prompt) {
            fail("a client that left pays its prompt and what was delivered");
        }
    }

    World& world_;
    const Attempts& attempts_;
    const Attempt& attempt_;
    const std::optional<UsageFinal>& record_;
};

// The death that may have kept this attempt's settlement from being written.
std::optional<DaemonEnd> death_of(const Attempt& attempt, const std::vector<DaemonEnd>& deaths) {
    std::optional<DaemonEnd> found;
    for (const DaemonEnd& death : deaths) {
        if (death.incarnation != attempt.incarnation) {
            continue;
        }
        const bool settled =
            attempt.ending != Ending::kCut && death.at - attempt.ended_at > kSettleMax;
        if (!settled) {
            found = death;
        }
    }
    return found;
}

void check_totals(World& world, const billing::Ledger& ledger, uint64_t finals, PicoAmount cost) {
    const auto rows = ledger.usage(billing::UsageQuery{.since_unix_ms = 0});
    if (!rows) {
        world.fail("usage: " + rows.error().message);
        return;
    }
    uint64_t requests = 0;
    PicoAmount total = 0;
    for (const billing::UsageRow& row : *rows) {
        requests += row.requests;
        total += row.cost;
    }
    if (requests != finals || total != cost) {
        world.fail(
            fmt::format("the ledger bills {} requests, {} were made: or their prices add up "
                        "to something else",
                        requests, finals));
    }
}

}  // namespace

void check_billing(World& world, const billing::Ledger& ledger, const Attempts& attempts,
                   const std::vector<DaemonEnd>& deaths) {
    const auto report = ledger.verify();
    if (!report) {
        world.fail("verify: " + report.error().message);
        return;
    }
    for (const std::string& fault : report->faults) {
        world.fail("verify: " + fault);
    }
    if (report->open_requests != 0) {
        world.fail(fmt::format("{} requests are still open", report->open_requests));
    }
    uint64_t finals = 0;
    PicoAmount cost = 0;
    for (const auto& attempt : attempts) {
        const auto found = ledger.find(attempt->id);
        std::optional<UsageFinal> record;
        if (found) {
            record = *found;
            ++finals;
            cost += found->cost;
        } else if (found.error().code != ErrorCode::kNotFound) {
            world.fail("find: " + found.error().message);
        }
        world.trace("bill {} {} {}", attempt->number,
                    record ? outcome_name(record->outcome) : "none",
                    record ? record->billed_completion : 0);
        Judge(world, attempts, *attempt, record).decide(death_of(*attempt, deaths));
    }
    check_totals(world, ledger, finals, cost);
}

}  // namespace rekindle::sim
