// The seam between the ring and the system: reads are started and complete in any order, each with
// what the system call gave (bytes, or minus errno). Two real sides, io_uring and a thread with
// pread; tests put one with faults in between.
// Threading: one thread. Ownership: the buffer of a read must stay until it has completed.
#pragma once
#include "base/result.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace rekindle::loader {

struct RawRead {
    int fd = -1;
    uint64_t offset = 0;
    std::span<std::byte> out;
    uint64_t tag = 0;  // Comes back with the completion.
};

struct RawDone {
    uint64_t tag = 0;
    int64_t result = 0;  // Bytes read, possibly fewer than asked; or -errno.
};

class ReadBackend {
public:
    virtual ~ReadBackend() = default;
    // Reads that may be in flight together.
    virtual uint32_t depth() const noexcept = 0;
    virtual void start(const RawRead& read) = 0;
    // Blocks until one of the started reads has completed; at least one must be in flight.
    virtual RawDone wait() = 0;
};

// kUnsupported when the kernel refuses io_uring (too old, disabled, sandboxed).
Result<std::unique_ptr<ReadBackend>> make_uring_backend(uint32_t depth);
std::unique_ptr<ReadBackend> make_thread_backend(uint32_t depth);
// io_uring, or the thread with one log line that says why.
std::unique_ptr<ReadBackend> make_read_backend(uint32_t depth);

}  // namespace rekindle::loader
