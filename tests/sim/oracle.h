// What must be true when a run is over: the billing rules as ARCHITECTURE.md writes them, applied
// to what each client saw, and the ledger's own account of itself.
#pragma once
#include "billing/ledger.h"
#include "tests/sim/attempt.h"
#include "tests/sim/world.h"

#include <memory>
#include <vector>

namespace rekindle::sim {

using Attempts = std::vector<std::unique_ptr<Attempt>>;

// When daemons died or were told to stop, and how.
struct DaemonEnd {
    Nanoseconds at{};
    uint32_t incarnation = 0;
    CrashKind kind = CrashKind::kKill;
};

void check_billing(World& world, const billing::Ledger& ledger, const Attempts& attempts,
                   const std::vector<DaemonEnd>& deaths);

}  // namespace rekindle::sim
