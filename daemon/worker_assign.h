// Everything that a worker gets with its Assign: the frame and, in the order that the frame says,
// descriptors of the latches, the KV memory and its table, and the image's extents.
// Threading: the io thread.
#pragma once
#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/frames.h"
#include "snapshot/retained/kv_files.h"
#include "snapshot/tiers/host_tier.h"

#include <vector>

namespace rekindle::daemon {

struct WorkerAssignment {
    AssignFrame frame;  // The caller's own fields are still to be set.
    std::vector<UniqueFd> files;
};

Result<WorkerAssignment> make_assignment(const snapshot::ResidentImage& image,
                                         const snapshot::KvFiles& kv);

// The same for AssignDraft: latches, fresh KV memory of `kv_bytes`, extents.
struct DraftAssignment {
    AssignDraftFrame frame;
    std::vector<UniqueFd> files;
};

Result<DraftAssignment> make_draft_assignment(const snapshot::ResidentImage& image,
                                              uint64_t kv_bytes);

}  // namespace rekindle::daemon
