#include "daemon/worker_transport.h"

#include "daemon/worker_process.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace rekindle::daemon {
namespace {

using Socket = asio::local::stream_protocol::socket;

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

class ProcessTransport final : public WorkerTransport {
public:
    ProcessTransport(WorkerProcess process, Socket socket)
        : process_(std::move(process)), socket_(std::move(socket)) {}

    pid_t pid() const noexcept override { return process_.pid(); }

    Task<bool> read(std::vector<std::byte>* out) override {
        auto done = co_await asio::async_read(socket_, asio::buffer(*out), kAsTuple);
        co_return !std::get<0>(done);
    }

    Task<bool> write(WorkerMessage* message) override {
        size_t sent = 0;
        if (!message->descriptors.empty()) {
            const bool carried = co_await send_descriptors(message, &sent);
            if (!carried) {
                co_return false;
            }
        }
        const auto rest = std::span<const std::byte>(message->bytes).subspan(sent);
        auto done =
            co_await asio::async_write(socket_, asio::buffer(rest.data(), rest.size()), kAsTuple);
        co_return !std::get<0>(done);
    }

    void kill() override { process_.kill(); }

    std::string end() override {
        process_.kill();
        std::string how = process_.reap();
        boost::system::error_code ec;
        socket_.close(ec);
        return how;
    }

private:
    Task<bool> send_descriptors(const WorkerMessage* message, size_t* sent) {
        for (;;) {
            const ssize_t put =
                send_with_rights(socket_.native_handle(), message->bytes, message->descriptors);
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

    WorkerProcess process_;
    Socket socket_;
};

class ProcessLauncher final : public WorkerLauncher {
public:
    ProcessLauncher(asio::io_context& context, std::string executable)
        : context_(context), executable_(std::move(executable)) {}

    Result<std::unique_ptr<WorkerTransport>> start() override {
        auto pair = make_socket_pair();
        if (!pair) {
            return pair.error();
        }
        auto process = WorkerProcess::spawn(executable_, {"--serve", std::to_string(::getpid())},
                                            {{pair->theirs.get(), kWorkerSocketFd}});
        if (!process) {
            return process.error();
        }
        Socket socket(context_);
        boost::system::error_code ec;
        socket.assign(asio::local::stream_protocol(), pair->ours.get(), ec);
        if (ec) {
            return Error{ErrorCode::kIo, "worker socket: " + ec.message()};
        }
        static_cast<void>(pair->ours.release());  // `socket` owns it now.
        socket.non_blocking(true);
        return std::unique_ptr<WorkerTransport>(
            std::make_unique<ProcessTransport>(std::move(process).value(), std::move(socket)));
    }

private:
    asio::io_context& context_;
    const std::string executable_;
};

}  // namespace

std::unique_ptr<WorkerLauncher> make_process_launcher(asio::io_context& context,
                                                      std::string executable) {
    return std::make_unique<ProcessLauncher>(context, std::move(executable));
}

}  // namespace rekindle::daemon
