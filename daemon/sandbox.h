// The cage of rekindle-worker and of the importer: after enter_sandbox() a process that was taken
// over by the bytes it reads can compute, wait on futexes and use the descriptors it was given, and
// nothing else: no file, socket, process or kernel interface can be opened, nobody can be
// signalled. Invariant: it only ever tightens; there is no way out, and children and threads
// inherit it. Threading: call once, while the process has one thread (threads started before would
// keep their rights). A denied call that code may try harmlessly gives EPERM or ENOSYS; any other
// kills the process (SIGSYS). Builds with sanitizers allow the few calls that their runtimes need,
// and log it.
#pragma once
#include "base/result.h"

#include <cstdint>
#include <string>
#include <sys/types.h>
#include <vector>

namespace rekindle::daemon {

enum class SandboxKind : uint8_t {
    kImporter,  // One thread: reads a mapped file, writes a pipe.
    kWorker,    // Threads, futexes, one socket, mappings of descriptors that arrive over it.
};

struct SandboxProfile {
    SandboxKind kind = SandboxKind::kWorker;
    // Descriptors that stay open; all others are closed. 0, 1 and 2 are always kept.
    std::vector<int> keep_fds;
    // Who must be our parent: when it has died, or dies later, this process is killed. 0: not
    // asked. Call from the main thread, whose parent thread must live as long as the parent
    // process.
    pid_t parent = 0;
    uint64_t address_space_bytes_max = 0;  // RLIMIT_AS; 0: none. Ignored under sanitizers.
    uint32_t open_files_max = 0;           // RLIMIT_NOFILE; 0: as many as are kept, and no more.
};

// What the kernel granted; the rest is enforced by seccomp alone.
struct SandboxReport {
    bool namespaces = false;  // Own user, network and IPC namespaces.
    bool landlock = false;    // No right to any path.
    bool sanitizer = false;   // Relaxed for a sanitizer's runtime: never in a release build.
};

// Confines the calling process for good. kUnavailable when seccomp is not possible here or the
// parent is gone; without namespaces or Landlock (old kernel, container) it goes on and logs one
// line.
Result<SandboxReport> enter_sandbox(const SandboxProfile& profile);

}  // namespace rekindle::daemon
