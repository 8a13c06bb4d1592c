#include "daemon/worker_link.h"

#include "base/async/spawn.h"
#include "base/log.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace rekindle::daemon {
namespace {

constexpr int kWorkerSocketFd = 3;

struct SocketPair {
    UniqueFd ours;
    UniqueFd theirs;
};

Result<SocketPair> make_socket_pair() {
    std::array<int, 2> fds{-1, -1};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()) != 0) {
        return errno_error("socketpair", errno);
    }
    return SocketPair{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

// Sends bytes[0, …) with all descriptors attached to the first byte; bytes sent or -1.
ssize_t send_with_rights(int socket, std::span<const std::byte> bytes,
                         const std::vector<UniqueFd>& descriptors) {
    std::vector<int> numbers;
    for (const UniqueFd& fd : descriptors) {
        numbers.push_back(fd.get());
    }
    const size_t rights_bytes = numbers.size() * sizeof(int);
    std::vector<std::byte> control(CMSG_SPACE(rights_bytes));
    iovec piece{const_cast<std::byte*>(bytes.data()), bytes.size()};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(rights_bytes);
    std::memcpy(CMSG_DATA(header), numbers.data(), rights_bytes);
    return ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace

WorkerLink::WorkerLink(asio::io_context& context, WorkerProcess process,
                       asio::local::stream_protocol::socket socket)
    : process_(std::move(process)), socket_(std::move(socket)), outgoing_added_(context) {}

WorkerLink::~WorkerLink() {
    REKINDLE_CHECK(ended_, "a worker link is released after its worker ended");
}

Result<std::shared_ptr<WorkerLink>> WorkerLink::start(asio::io_context& context, Gate& gate,
                                                      const std::string& executable) {
    auto pair = make_socket_pair();
    if (!pair) {
        return pair.error();
    }
    auto process = WorkerProcess::spawn(executable, {"--serve", std::to_string(::getpid())},
                                        {{pair->theirs.get(), kWorkerSocketFd}});
    if (!process) {
        return process.error();
    }
    asio::local::stream_protocol::socket socket(context);
    boost::system::error_code ec;
    socket.assign(asio::local::stream_protocol(), pair->ours.get(), ec);
    if (ec) {
        return Error{ErrorCode::kIo, "worker socket: " + ec.message()};
    }
    static_cast<void>(pair->ours.release());  // `socket` owns it now.
    std::shared_ptr<WorkerLink> link(
        new WorkerLink(context, std::move(process).value(), std::move(socket)));
    auto reading = link->read_frames(link);
    auto writing = link->write_frames(link);
    if (!spawn(context, "worker_reader", gate, std::move(reading)) ||
        !spawn(context, "worker_writer", gate, std::move(writing))) {
        link->end(Error{ErrorCode::kUnavailable, "rekindled is stopping"});
        return Error{ErrorCode::kUnavailable, "rekindled is stopping"};
    }
    return link;
}

void WorkerLink::listen(Listener* listener) {
    listener_ = listener;
}

void WorkerLink::send(const Frame& frame) {
    send_with_descriptors(frame, {});
}

void WorkerLink::send_with_descriptors(const Frame& frame, std::vector<UniqueFd> descriptors) {
    if (ended_) {
        return;
    }
    outgoing_.push_back(Outgoing{encode_frame(frame), std::move(descriptors)});
    outgoing_added_.notify();
}

void WorkerLink::kill() {
    process_.kill();
}

Task<std::optional<Error>> WorkerLink::read_one() {
    std::array<std::byte, kFrameHeaderBytes> header_bytes{};
    auto header_out = co_await asio::async_read(socket_, asio::buffer(header_bytes), kAsTuple);
    if (std::get<0>(header_out)) {
        co_return Error{ErrorCode::kUnavailable, "the worker closed its connection"};
    }
    const auto header = parse_frame_header(header_bytes);
    if (!header) {
        co_return header.error();
    }
    std::vector<std::byte> payload(header->payload_bytes);
    auto payload_out = co_await asio::async_read(socket_, asio::buffer(payload), kAsTuple);
    if (std::get<0>(payload_out)) {
        co_return Error{ErrorCode::kUnavailable, "the worker closed its connection"};
    }
    auto frame = parse_frame(*header, payload);
    if (!frame) {
        co_return frame.error();
    }
    const auto* hello = std::get_if<HelloFrame>(&*frame);
    if (hello != nullptr && hello->protocol != kWireProtocol) {
        co_return Error{ErrorCode::kUnsupported,
                        fmt::format("the worker speaks protocol {}, rekindled {}: install both "
                                    "from one build",
                                    hello->protocol, kWireProtocol)};
    }
    dispatch(std::move(frame).value());
    co_return std::nullopt;
}

Task<> WorkerLink::read_frames(std::shared_ptr<WorkerLink> self) {
    for (;;) {
        auto failed = co_await read_one();
        if (failed) {
            self->end(std::move(*failed));
            co_return;
        }
    }
}

Task<bool> WorkerLink::send_descriptors(const Outgoing* item, size_t* sent) {
    for (;;) {
        const ssize_t put =
            send_with_rights(socket_.native_handle(), item->bytes, item->descriptors);
        if (put > 0) {
            *sent = static_cast<size_t>(put);
            co_return true;
        }
        if (put < 0 && errno != EAGAIN && errno != EINTR) {
            co_return false;
        }
        auto out = co_await socket_.async_wait(asio::socket_base::wait_write, kAsTuple);
        if (std::get<0>(out)) {
            co_return false;
        }
    }
}

Task<> WorkerLink::write_frames(std::shared_ptr<WorkerLink> self) {
    socket_.non_blocking(true);
    while (!self->ended_) {
        if (outgoing_.empty()) {
            co_await outgoing_added_.wait();
            continue;
        }
        Outgoing item = std::move(outgoing_.front());
        outgoing_.pop_front();
        size_t sent = 0;
        if (!item.descriptors.empty()) {
            const bool carried = co_await send_descriptors(&item, &sent);
            if (!carried) {
                co_return;  // The reader sees the same end.
            }
        }
        const auto rest = std::span<const std::byte>(item.bytes).subspan(sent);
        auto out =
            co_await asio::async_write(socket_, asio::buffer(rest.data(), rest.size()), kAsTuple);
        if (std::get<0>(out)) {
            co_return;
        }
    }
}

void WorkerLink::dispatch(Frame frame) {
    if (const auto* hello = std::get_if<HelloFrame>(&frame)) {
        greeted_ = true;
        kernels_ = hello->kernels;
    }
    if (listener_ != nullptr) {
        listener_->on_frame(std::move(frame));
    }
}

void WorkerLink::end(Error reason) {
    if (std::exchange(ended_, true)) {
        return;
    }
    process_.kill();
    const std::string how = process_.reap();
    held_.reset();
    boost::system::error_code ec;
    socket_.close(ec);
    outgoing_.clear();
    outgoing_added_.notify();
    if (reason.code == ErrorCode::kUnavailable) {
        reason.message += " (" + how + ")";
    }
    log_info("worker_ended", {{"pid", process_.pid()}, {"reason", reason.message}});
    if (listener_ != nullptr) {
        std::exchange(listener_, nullptr)->on_end(reason);
    }
}

}  // namespace rekindle::daemon
