#include "daemon/worker_bench.h"

#include "runtime/machine_limits.h"

#include <algorithm>
#include <string>

namespace rekindle::daemon {
namespace {

BenchPhaseItem item_of(const runtime::BenchPhase& phase) {
    return {.nanoseconds = static_cast<uint64_t>(phase.time.count()),
            .tokens = phase.tokens,
            .bytes = phase.bytes,
            .operations = phase.operations};
}

}  // namespace

WorkerBench::WorkerBench(const WorkerModel& model, const kernels::KernelTable& kernels,
                         uint32_t threads, const Clock& clock)
    : model_(model),
      kernels_(kernels),
      threads_(threads),
      clock_(clock),
      cost_(runtime::step_cost(model.image.layout(), model.kv_type)) {}

void WorkerBench::measure_limits() {
    memory_bytes_per_second_ =
        std::max(memory_bytes_per_second_, runtime::measure_memory_read(threads_, clock_));
    int8_per_second_ =
        std::max(int8_per_second_, runtime::measure_int8(kernels_, threads_, clock_));
}

BenchedFrame WorkerBench::run(const BenchFrame& what) {
    measure_limits();
    runtime::OpProfile profile(clock_);
    const auto times = runtime::run_bench(
        *model_.engine,
        {.batch = what.batch, .prompt_tokens = what.prompt, .answer_tokens = what.answer},
        {.cost = cost_, .seed = what.seed, .profile = what.profile ? &profile : nullptr}, clock_);
    if (!times) {
        return {.code = times.error().code, .error = times.error().message};
    }
    BenchedFrame benched{.prefill = item_of(times->prefill),
                         .decode = item_of(times->decode),
                         .memory_bytes_per_second = static_cast<uint64_t>(memory_bytes_per_second_),
                         .int8_per_second = static_cast<uint64_t>(int8_per_second_)};
    for (size_t i = 0; what.profile && i < runtime::kOpNames.size(); ++i) {
        const runtime::OpTime& time = profile.times()[i];
        benched.ops.push_back({.name = std::string(runtime::kOpNames[i]),
                               .nanoseconds = time.nanoseconds,
                               .calls = time.calls});
    }
    return benched;
}

}  // namespace rekindle::daemon
