// The worker's end of its socket to rekindled: blocking frames, descriptors with the Assign frame.
// Threading: receive on one thread; send from any.
#pragma once
#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/frames.h"

#include <cstddef>
#include <mutex>
#include <span>
#include <vector>

namespace rekindle::daemon {

struct ReceivedFrame {
    Frame frame;
    std::vector<UniqueFd> descriptors;  // In the order in which rekindled sent them.
};

class WorkerChannel {
public:
    explicit WorkerChannel(UniqueFd socket) : socket_(std::move(socket)) {}

    // kCancelled when rekindled closed its end, kCorrupt for a frame that does not parse.
    Result<ReceivedFrame> receive();
    // All frames in one write. kCancelled when rekindled is gone.
    Result<void> send(std::span<const Frame> frames);
    Result<void> send(const Frame& frame) { return send(std::span(&frame, 1)); }

private:
    Result<void> receive_exact(std::span<std::byte> out, std::vector<UniqueFd>& descriptors);

    UniqueFd socket_;
    std::mutex send_mutex_;
};

}  // namespace rekindle::daemon
