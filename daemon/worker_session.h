// One worker's life after it was assigned an image: a reader (the calling thread) that renders and
// tokenizes, and an engine thread that steps the batch. Both speak to rekindled over one channel.
// Invariant: a sequence enters the batch only after rekindled said Go (its input is paid for), and
// never samples beyond its lease.
#pragma once
#include "base/clock.h"
#include "base/result.h"
#include "daemon/frames.h"
#include "daemon/worker_channel.h"
#include "kernels/kernel_table.h"

#include <memory>

namespace rekindle::daemon {

class WorkerSession {
public:
    // Maps the image and the KV memory; sends Assigned, with the reason when it fails.
    static Result<std::unique_ptr<WorkerSession>> start(WorkerChannel& channel,
                                                        const kernels::KernelTable& kernels,
                                                        ReceivedFrame assign, const Clock& clock);
    virtual ~WorkerSession() = default;

    // Serves until rekindled closes the socket (success) or something fails.
    virtual Result<void> serve() = 0;
};

}  // namespace rekindle::daemon
