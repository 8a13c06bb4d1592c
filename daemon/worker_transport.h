// What lies between rekindled and one worker: a process, and a stream socket that carries bytes and
// descriptors. WorkerLink puts frames on it. One real side, and one in tests/sim whose worker lives
// in simulated time.
// Threading: the io thread. At most one read and one write are under way together.
#pragma once
#include "base/async/asio.h"
#include "base/result.h"
#include "base/unique_fd.h"

#include <cstddef>
#include <memory>
#include <string>
#include <sys/types.h>
#include <vector>

namespace rekindle::daemon {

struct WorkerMessage {
    std::vector<std::byte> bytes;
    std::vector<UniqueFd> descriptors;  // Travel with the first byte.
};

class WorkerTransport {
public:
    virtual ~WorkerTransport() = default;
    virtual pid_t pid() const noexcept = 0;
    // Fills `out`; false when the worker closed its end before that.
    virtual Task<bool> read(std::vector<std::byte>* out) = 0;
    // False when the worker is gone.
    virtual Task<bool> write(WorkerMessage* message) = 0;
    // Asks for the end; the reader then sees the connection close.
    virtual void kill() = 0;
    // Kills what still runs, waits until nothing of the worker is left, and closes; reads and
    // writes that are under way fail. Says how the process ended. Once.
    virtual std::string end() = 0;
};

class WorkerLauncher {
public:
    virtual ~WorkerLauncher() = default;
    // A generic worker that will say Hello.
    virtual Result<std::unique_ptr<WorkerTransport>> start() = 0;
};

// Processes of `executable`.
std::unique_ptr<WorkerLauncher> make_process_launcher(asio::io_context& context,
                                                      std::string executable);

}  // namespace rekindle::daemon
