#include "daemon/worker_channel.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>

namespace rekindle::daemon {
namespace {

constexpr size_t kDescriptorsMax = 253;  // SCM_MAX_FD of Linux.

void take_descriptors(msghdr& message, std::vector<UniqueFd>& descriptors) {
    for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr;
         control = CMSG_NXTHDR(&message, control)) {
        if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        const size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(control) + i * sizeof(int), sizeof(fd));
            descriptors.emplace_back(fd);
        }
    }
}

}  // namespace

Result<void> WorkerChannel::receive_exact(std::span<std::byte> out,
                                          std::vector<UniqueFd>& descriptors) {
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(kDescriptorsMax * sizeof(int))> control{};
    while (!out.empty()) {
        iovec piece{out.data(), out.size()};
        msghdr message{};
        message.msg_iov = &piece;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        const ssize_t got = ::recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return errno_error("worker socket", errno);
        }
        take_descriptors(message, descriptors);
        if (got == 0) {
            return Error{ErrorCode::kCancelled, "rekindled closed the connection"};
        }
        if ((message.msg_flags & MSG_CTRUNC) != 0) {
            return Error{ErrorCode::kResourceExhausted, "too many descriptors in one frame"};
        }
        out = out.subspan(static_cast<size_t>(got));
    }
    return {};
}

Result<ReceivedFrame> WorkerChannel::receive() {
    std::vector<UniqueFd> descriptors;
    std::array<std::byte, kFrameHeaderBytes> header_bytes{};
    const auto header_read = receive_exact(header_bytes, descriptors);
    if (!header_read) {
        return header_read.error();
    }
    const auto header = parse_frame_header(header_bytes);
    if (!header) {
        return header.error();
    }
    std::vector<std::byte> payload(header->payload_bytes);
    const auto payload_read = receive_exact(payload, descriptors);
    if (!payload_read) {
        return payload_read.error();
    }
    auto frame = parse_frame(*header, payload);
    if (!frame) {
        return frame.error();
    }
    return ReceivedFrame{std::move(*frame), std::move(descriptors)};
}

Result<void> WorkerChannel::send(std::span<const Frame> frames) {
    std::vector<std::byte> bytes;
    for (const Frame& frame : frames) {
        const auto encoded = encode_frame(frame);
        bytes.insert(bytes.end(), encoded.begin(), encoded.end());
    }
    const std::lock_guard lock(send_mutex_);
    std::span<const std::byte> rest = bytes;
    while (!rest.empty()) {
        const ssize_t put = ::send(socket_.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return Error{ErrorCode::kCancelled, "rekindled closed the connection"};
        }
        rest = rest.subspan(static_cast<size_t>(put));
    }
    return {};
}

}  // namespace rekindle::daemon
