// The host tier without its loader thread: whoever made it calls the restorer's start_reads() and
// finish_read() in the thread's place (tests/sim does, on simulated time).
#pragma once
#include "snapshot/tiers/detail/restorer.h"
#include "snapshot/tiers/host_tier.h"

#include <memory>

namespace rekindle::snapshot {

struct SteppedTier {
    std::unique_ptr<HostTier> tier;
    Restorer& restorer;  // Part of `tier`.
};

Result<SteppedTier> create_stepped_tier(loader::ChunkStore& store, const Clock& clock,
                                        HostTierOptions options,
                                        std::unique_ptr<loader::ReadBackend> backend);

}  // namespace rekindle::snapshot
