// rekindle-worker: a generic process that waits, sandboxed and warm, for one image to serve; or,
// with
// --import, the confined process that reads a model file at deploy time; or, with --measure, one
// that tells how fast its machine is. Started by rekindled only.
#include "base/clock.h"
#include "base/log.h"
#include "base/version.h"
#include "daemon/importer_main.h"
#include "daemon/sandbox.h"
#include "daemon/worker_channel.h"
#include "daemon/worker_measure.h"
#include "daemon/worker_session.h"
#include "daemon/worker_warmup.h"
#include "kernels/kernel_table.h"

#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace rekindle::daemon {
namespace {

constexpr int kSocketFd = 3;  // Where rekindled puts the worker's end of the socket.

int fail(const char* what, const Error& error) {
    log_error(what, {{"reason", error.message}});
    return EXIT_FAILURE;
}

// A worker holds at most 253 descriptors of one Assign frame, its socket, stdio and a few spare.
constexpr uint32_t kOpenFilesMax = 300;

int serve(pid_t parent) {
    // 1. Choose kernels by what this processor can do.
    const kernels::KernelTable* table = kernels::select_kernel_table();
    if (table == nullptr) {
        return fail("worker_failed", Error{ErrorCode::kUnsupported,
                                           "REKINDLE_ISA names kernels that can't run here"});
    }
    // 2. Pay for page faults now rather than during the first prompt.
    warm_up_worker();
    // 3. Give up everything but the socket, memory and threads. From here on nothing can be opened.
    const auto confined = enter_sandbox(SandboxProfile{.kind = SandboxKind::kWorker,
                                                       .keep_fds = {kSocketFd},
                                                       .parent = parent,
                                                       .open_files_max = kOpenFilesMax});
    if (!confined) {
        return fail("worker_failed", confined.error());
    }
    // 4. Say that this worker is ready, and wait to be given an image.
    WorkerChannel channel{UniqueFd(kSocketFd)};
    const auto greeted = channel.send(Frame(HelloFrame{.kernels = std::string(table->name)}));
    if (!greeted) {
        return EXIT_SUCCESS;
    }
    auto assign = channel.receive();
    if (!assign) {
        return assign.error().code == ErrorCode::kCancelled ? EXIT_SUCCESS
                                                            : fail("worker_failed", assign.error());
    }
    // 5. Map the image (its bytes may still be arriving) and serve until rekindled closes the
    // socket.
    const SystemClock clock;
    auto session = WorkerSession::start(channel, *table, std::move(assign).value(), clock);
    if (!session) {
        return fail("assign_failed", session.error());
    }
    const auto served = (*session)->serve();
    if (!served) {
        return fail("worker_failed", served.error());
    }
    // Nothing is left to save: skip destructors of a process whose peer is gone.
    std::_Exit(EXIT_SUCCESS);
}

}  // namespace
}  // namespace rekindle::daemon

int main(int argc, char** argv) {
    const std::string_view mode = argc > 1 ? argv[1] : "";
    if (mode == "--version") {
        const std::string_view version = rekindle::version();
        std::printf("rekindle-worker %.*s\n", static_cast<int>(version.size()), version.data());
        return EXIT_SUCCESS;
    }
    if (mode == "--import") {
        return rekindle::daemon::importer_main(argc, argv);
    }
    if (mode == "--measure") {
        return rekindle::daemon::measure_main(argc, argv);
    }
    if (mode == "--serve" && argc == 3) {
        return rekindle::daemon::serve(static_cast<pid_t>(std::atoi(argv[2])));
    }
    std::fprintf(stderr,
                 "rekindle-worker %.*s: started by rekindled, not by hand\n"
                 "usage: rekindle-worker --serve PARENT | --import | --measure PARENT THREADS | "
                 "--version\n",
                 static_cast<int>(rekindle::version().size()), rekindle::version().data());
    return 2;
}
