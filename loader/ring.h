// Whole reads over a backend that may give less: short reads are continued, EINTR and EAGAIN tried
// again a bounded number of times, a refused O_DIRECT is switched off, everything else is reported.
// A read that succeeded has filled its buffer.
// Threading: one thread (the loader thread). Ownership: buffers stay until their read was returned
// by wait(); the destructor checks that none is outstanding.
#pragma once
#include "base/result.h"
#include "loader/read_backend.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace rekindle::loader {

struct ReadRequest {
    int fd = -1;
    bool direct =
        false;  // Offset, size and address are multiples of 4096, and so must every retry.
    uint64_t offset = 0;
    std::span<std::byte> out;
    uint64_t tag = 0;
};

struct ReadOutcome {
    uint64_t tag = 0;
    Result<void> result;
};

class Ring {
public:
    explicit Ring(std::unique_ptr<ReadBackend> backend);
    Ring(const Ring&) = delete;
    Ring& operator=(const Ring&) = delete;
    ~Ring();

    // Reads that fit in flight together.
    uint32_t depth() const noexcept { return static_cast<uint32_t>(slots_.size()); }

    bool has_room() const noexcept { return !free_.empty(); }

    uint32_t in_flight() const noexcept;
    // Needs room.
    void start(const ReadRequest& request);
    // Blocks until one read is whole or has failed; needs one in flight.
    ReadOutcome wait();

private:
    struct Slot {
        ReadRequest request;
        uint64_t done = 0;
        uint32_t retries = 0;  // Since the last progress.
    };

    void restart(uint32_t slot);
    // Nothing when the read goes on.
    enum class Next { kGoOn, kWhole, kFailed };
    Next advance(Slot& slot, int64_t result, int& error_number);

    std::unique_ptr<ReadBackend> backend_;
    std::vector<Slot> slots_;
    std::vector<uint32_t> free_;
    bool direct_refused_ = false;  // Logged once.
};

}  // namespace rekindle::loader
