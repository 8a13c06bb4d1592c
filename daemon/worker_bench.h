// A worker that is measured instead of asked: one case after the other on its engine, and the
// machine's limits beside them. Threading: one thread. Lifetime: the model outlives it.
#pragma once
#include "base/clock.h"
#include "daemon/frames.h"
#include "daemon/worker_core.h"
#include "kernels/kernel_table.h"
#include "runtime/bench.h"

#include <cstdint>

namespace rekindle::daemon {

class WorkerBench {
public:
    WorkerBench(const WorkerModel& model, const kernels::KernelTable& kernels, uint32_t threads,
                const Clock& clock);

    // Blocks as long as the case takes.
    BenchedFrame run(const BenchFrame& what);

private:
    void measure_limits();

    const WorkerModel& model_;
    const kernels::KernelTable& kernels_;
    const uint32_t threads_;
    const Clock& clock_;
    const runtime::StepCost cost_;
    // Measured before each case; the best counts, because whoever else runs can only slow it down.
    double memory_bytes_per_second_ = 0;
    double int8_per_second_ = 0;
};

}  // namespace rekindle::daemon
