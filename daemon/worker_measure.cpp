#include "daemon/worker_measure.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/unique_fd.h"
#include "daemon/sandbox.h"
#include "kernels/kernel_table.h"
#include "runtime/machine_limits.h"

#include <boost/json/serialize.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <sys/types.h>

namespace rekindle::daemon {
namespace {

constexpr int kReportFd = 3;
constexpr int kThreadsMax = 256;  // As many as rekindled takes.

json::object measure(pid_t parent, uint32_t threads) {
    const kernels::KernelTable* const table = kernels::select_kernel_table();
    if (table == nullptr) {
        return {{"error", "REKINDLE_ISA names kernels that can't run here"}};
    }
    const auto confined = enter_sandbox(
        SandboxProfile{.kind = SandboxKind::kWorker, .keep_fds = {kReportFd}, .parent = parent});
    if (!confined) {
        return {{"error", confined.error().message}};
    }
    const SystemClock clock;
    return {{"kernels", table->name},
            {"threads", threads},
            {"namespaces", confined->namespaces},
            {"landlock", confined->landlock},
            {"memory_bytes_per_second", runtime::measure_memory_read(threads, clock)},
            {"int8_per_second", runtime::measure_int8(*table, threads, clock)}};
}

}  // namespace

int measure_main(int argc, char** argv) {
    const int threads = argc == 4 ? std::atoi(argv[3]) : 0;
    if (threads < 1) {
        return EXIT_FAILURE;
    }
    const json::object report = measure(static_cast<pid_t>(std::atoi(argv[2])),
                                        static_cast<uint32_t>(std::min(threads, kThreadsMax)));
    const std::string text = json::serialize(report);
    const auto written = write_all(kReportFd, std::as_bytes(std::span(text)));
    return written ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace rekindle::daemon
