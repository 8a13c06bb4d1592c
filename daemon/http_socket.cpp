#include "daemon/http_socket.h"

#include <boost/asio/socket_base.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <utility>

namespace rekindle::daemon {

HttpSocket::HttpSocket(asio::io_context& context, Stream stream, bool takes_descriptors,
                       const HttpLimits& limits)
    : stream_(std::move(stream)),
      takes_descriptors_(takes_descriptors),
      limits_(limits),
      arrived_(context),
      timer_(context) {
    boost::system::error_code ignored;  // A socket that can't be set up fails at its first use.
    stream_.non_blocking(true, ignored);
    stream_.set_option(asio::socket_base::send_buffer_size(limits_.send_buffer_bytes), ignored);
}

HttpSocket::~HttpSocket() = default;

Task<HttpSocket::Read> HttpSocket::read_more() {
    const uint64_t before = bytes_read_;
    wait_readable();
    while (bytes_read_ == before) {
        if (ended_) {
            co_return Read::kEnd;
        }
        if (std::exchange(woken_, false)) {
            co_return Read::kWoken;
        }
        if (late_) {
            co_return Read::kLate;
        }
        co_await arrived_.wait();
    }
    co_return Read::kSome;
}

void HttpSocket::wake() {
    woken_ = true;
    arrived_.notify();
}

void HttpSocket::watch(std::function<void()> on_end) {
    on_end_ = std::move(on_end);
    wait_readable();
}

void HttpSocket::wait_readable() {
    if (waiting_ || ended_ || input_.size() >= kInputBytesMax) {
        return;
    }
    waiting_ = true;
    stream_.async_wait(asio::socket_base::wait_read,
                       [self = shared_from_this()](const boost::system::error_code& ec) {
                           self->on_readable(ec);
                       });
}

void HttpSocket::on_readable(const boost::system::error_code& ec) {
    waiting_ = false;
    if (ec) {
        ended_ = true;
    } else {
        receive();
    }
    arrived_.notify();
    if (on_end_ == nullptr) {
        return;
    }
    if (ended_) {
        std::exchange(on_end_, nullptr)();
        return;
    }
    wait_readable();
}

void HttpSocket::receive() {
    // On the stack, so that a thousand idle connections hold no buffers.
    std::array<char, kReadBytes> bytes;
    iovec part{bytes.data(), std::min(kReadBytes, kInputBytesMax - input_.size())};
    // Room for as many descriptors as may be kept; the kernel closes what does not fit.
    alignas(cmsghdr) char control[CMSG_SPACE(kDescriptorsMax * sizeof(int))];
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (takes_descriptors_) {
        message.msg_control = control;
        message.msg_controllen = sizeof(control);
    }
    const ssize_t got =
        ::recvmsg(stream_.native_handle(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    const int error = got < 0 ? errno : 0;
    if (got > 0) {
        input_.append(bytes.data(), static_cast<size_t>(got));
        bytes_read_ += static_cast<uint64_t>(got);
        keep_descriptors(message);
    } else if (got == 0 || (error != EAGAIN && error != EWOULDBLOCK && error != EINTR)) {
        ended_ = true;
    }
}

void HttpSocket::keep_descriptors(const msghdr& message) {
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
         header = CMSG_NXTHDR(const_cast<msghdr*>(&message), header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
            descriptors_.emplace_back(fd);
        }
    }
    // One for each request that is read ahead; a client that sends more is not one of ours.
    if (descriptors_.size() > kDescriptorsMax) {
        ended_ = true;
    }
}

std::optional<UniqueFd> HttpSocket::take_descriptor() {
    if (descriptors_.empty()) {
        return std::nullopt;
    }
    UniqueFd first = std::move(descriptors_.front());
    descriptors_.erase(descriptors_.begin());
    return first;
}

std::optional<size_t> HttpSocket::send_some(const char* data, size_t bytes) {
    ssize_t sent = -1;
    do {
        sent = ::send(stream_.native_handle(), data, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    if (sent >= 0) {
        return static_cast<size_t>(sent);
    }
    return errno == EAGAIN || errno == EWOULDBLOCK ? std::optional<size_t>(0) : std::nullopt;
}

Task<bool> HttpSocket::write(const std::string& bytes) {
    auto self = shared_from_this();
    writing_ = true;
    bool whole = true;
    if (!unsent_.empty()) {
        const std::string before = std::exchange(unsent_, {});
        whole = co_await write_rest(&before, 0);
    }
    if (whole) {
        whole = co_await write_rest(&bytes, 0);
    }
    writing_ = false;
    if (on_silence_ != nullptr) {
        silent_until_ = asio::steady_timer::clock_type::now() + silence_;
    }
    co_return whole;
}

Task<bool> HttpSocket::write_rest(const std::string* bytes, size_t sent) {
    while (sent < bytes->size() && stream_.is_open()) {
        const auto taken = send_some(bytes->data() + sent, bytes->size() - sent);
        if (!taken) {
            break;
        }
        sent += *taken;
        if (*taken > 0) {
            continue;
        }
        write_by_ = asio::steady_timer::clock_type::now() + limits_.write_time;
        arm_timer();
        auto out = co_await stream_.async_wait(asio::socket_base::wait_write, kAsTuple);
        write_by_.reset();
        const auto& [ec] = out;
        if (ec) {
            break;
        }
    }
    co_return sent == bytes->size();
}

void HttpSocket::write_now(std::string bytes) {
    if (writing_ || !unsent_.empty() || !stream_.is_open()) {
        return;
    }
    const auto taken = send_some(bytes.data(), bytes.size());
    unsent_ = bytes.substr(taken.value_or(bytes.size()));  // A broken connection shows at write().
}

void HttpSocket::watch_silence(std::chrono::milliseconds period, std::function<void()> on_silence) {
    silence_ = period;
    on_silence_ = std::move(on_silence);
    silent_until_ = asio::steady_timer::clock_type::now() + period;
    arm_timer();
}

void HttpSocket::unwatch_silence() {
    on_silence_ = nullptr;
    silent_until_.reset();
}

void HttpSocket::read_deadline(std::chrono::milliseconds from_now) {
    late_ = false;
    read_by_ = asio::steady_timer::clock_type::now() + from_now;
    arm_timer();
}

std::optional<HttpSocket::TimePoint> HttpSocket::next_deadline() const noexcept {
    std::optional<TimePoint> next;
    for (const auto& at : {read_by_, write_by_, silent_until_}) {
        if (at && (!next || *at < *next)) {
            next = at;
        }
    }
    return next;
}

// The timer is set again only when it would fire too late: deadlines move with every request and
// write, and nearly none is ever reached.
void HttpSocket::arm_timer() {
    const auto deadline = next_deadline();
    if (!deadline || (timer_at_ && *timer_at_ <= *deadline)) {
        return;
    }
    timer_at_ = deadline;
    timer_.expires_at(*deadline);
    timer_.async_wait([self = shared_from_this()](const boost::system::error_code& ec) {
        if (!ec) {
            self->on_timer();
        }
    });
}

void HttpSocket::on_timer() {
    timer_at_.reset();
    const auto now = asio::steady_timer::clock_type::now();
    if (write_by_ && *write_by_ <= now) {
        write_by_.reset();
        abort();
        return;
    }
    if (silent_until_ && *silent_until_ <= now) {
        silent_until_ = now + silence_;
        if (!writing_) {
            on_silence_();
        }
    }
    if (read_by_ && *read_by_ <= now) {
        late_ = true;
        read_by_.reset();
        arrived_.notify();
    }
    arm_timer();
}

void HttpSocket::shut_write() {
    boost::system::error_code ignored;  // The client may be gone already.
    stream_.shutdown(asio::socket_base::shutdown_send, ignored);
}

void HttpSocket::abort() {
    boost::system::error_code ignored;  // The client may be gone already.
    stream_.shutdown(asio::socket_base::shutdown_both, ignored);
}

void HttpSocket::close() {
    on_end_ = nullptr;
    on_silence_ = nullptr;
    read_by_.reset();
    silent_until_.reset();
    timer_.cancel();
    boost::system::error_code ignored;
    stream_.close(ignored);
}

}  // namespace rekindle::daemon
