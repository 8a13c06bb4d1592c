// Everything that a client can make grow or last, with its bound. Tests pass smaller ones.
#pragma once
#include "base/units.h"

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace rekindle::daemon {

struct HttpLimits {
    size_t head_bytes = 64 * kKiB;    // Request line and fields; beyond: 431.
    size_t fields = 100;              // Beyond: 431.
    uint64_t body_bytes = 16 * kMiB;  // Of JSON routes; beyond: 413. Uploads have no limit.
    size_t connections = 1024;        // Beyond: 503.
    std::chrono::milliseconds head_time{10'000};  // From a request's first byte to its head's end.
    // A body must bring body_progress_bytes, or its end, within each body_time.
    std::chrono::milliseconds body_time{10'000};
    uint64_t body_progress_bytes = 4 * kKiB;
    std::chrono::milliseconds idle_time{75'000};  // Between requests of a connection.
    std::chrono::milliseconds write_time{
        60'000};  // A client that takes nothing for so long is gone.
    std::chrono::milliseconds heartbeat{10'000};  // Of silence in a stream, then a comment.
    std::chrono::milliseconds linger{1'000};      // For reading a refused body before closing.
    // What the kernel may hold unsent: the most that a client that left may not have read of what
    // counts as delivered. Linux doubles the value it is given and counts its own overhead in.
    int send_buffer_bytes = 32 * 1024;
};

}  // namespace rekindle::daemon
