// One accepted connection's socket, TCP or Unix: reads ahead into a bounded buffer, takes passed
// descriptors, notices the client's end while nobody reads, and writes with a deadline.
// Invariant: at most one wait for readability and one write are under way.
// Threading: the io thread. Ownership: shared, because a wait's handler and the timer's may run
// once after the connection's coroutine has ended; close() makes both do nothing.
#pragma once
#include "base/async/asio.h"
#include "base/async/event.h"
#include "base/unique_fd.h"
#include "daemon/http_limits.h"

#include <boost/asio/generic/stream_protocol.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace rekindle::daemon {

class HttpSocket : public std::enable_shared_from_this<HttpSocket> {
public:
    using Stream = asio::generic::stream_protocol::socket;

    // `takes_descriptors`: a Unix socket.
    HttpSocket(asio::io_context& context, Stream stream, bool takes_descriptors,
               const HttpLimits& limits);
    HttpSocket(const HttpSocket&) = delete;
    HttpSocket& operator=(const HttpSocket&) = delete;
    ~HttpSocket();

    // ---- Reading ----
    // Bytes read and not yet consumed; at most kInputBytesMax.
    const std::string& input() const noexcept { return input_; }

    void consume(size_t bytes) { input_.erase(0, bytes); }

    // Since the connection's begin.
    uint64_t bytes_read() const noexcept { return bytes_read_; }
    enum class Read { kSome, kEnd, kLate, kWoken };
    // Waits for at least one more byte, the client's end, the deadline, or wake().
    Task<Read> read_more();
    // Ends a read_more() that waits.
    void wake();

    // The client closed its side or the connection broke.
    bool ended() const noexcept { return ended_; }

    // Calls `on_end` once the client is gone; reads ahead meanwhile as far as the buffer allows.
    void watch(std::function<void()> on_end);

    void unwatch() { on_end_ = nullptr; }

    // The oldest descriptor that came with the bytes so far.
    std::optional<UniqueFd> take_descriptor();

    // ---- Writing ----
    // All of `bytes` went to the kernel; false when the client is gone or took too long.
    // `bytes` outlives the call.
    Task<bool> write(const std::string& bytes);
    // Sends what the kernel takes at once; the rest goes before the next write(). For small signs
    // of life between writes: nothing is sent while a write() is under way.
    void write_now(std::string bytes);
    // Calls `on_silence` after each `period` without a write, until it is cleared.
    void watch_silence(std::chrono::milliseconds period, std::function<void()> on_silence);
    void unwatch_silence();

    // ---- Time and end ----
    // For reads; a later call moves it.
    void read_deadline(std::chrono::milliseconds from_now);

    void no_read_deadline() {
        read_by_.reset();
        late_ = false;
    }

    // No more bytes to the client; it sees the end after what was sent.
    void shut_write();
    void close();
    // Ends the connection under whoever reads or writes: both return at once.
    void abort();

private:
    using TimePoint = asio::steady_timer::time_point;
    static constexpr size_t kInputBytesMax = 256 * kKiB;
    static constexpr size_t kReadBytes = 64 * kKiB;
    static constexpr size_t kDescriptorsMax = 4;

    void wait_readable();
    void on_readable(const boost::system::error_code& ec);
    void receive();
    void keep_descriptors(const struct msghdr& message);
    void arm_timer();
    void on_timer();
    Task<bool> write_rest(const std::string* bytes, size_t sent);
    // Bytes that the kernel took; nothing when the connection is broken.
    std::optional<size_t> send_some(const char* data, size_t bytes);
    std::optional<TimePoint> next_deadline() const noexcept;

    Stream stream_;
    const bool takes_descriptors_;
    const HttpLimits& limits_;
    std::string input_;
    uint64_t bytes_read_ = 0;
    std::vector<UniqueFd> descriptors_;
    Event arrived_;
    std::function<void()> on_end_;
    bool waiting_ = false;  // A wait for readability is under way.
    bool ended_ = false;
    bool woken_ = false;
    bool late_ = false;  // The read deadline passed.
    bool writing_ = false;
    std::string unsent_;  // Of a write_now().
    std::chrono::milliseconds silence_{};
    std::function<void()> on_silence_;
    asio::steady_timer timer_;
    std::optional<TimePoint> timer_at_;  // When the pending timer fires.
    std::optional<TimePoint> read_by_;
    std::optional<TimePoint> write_by_;
    std::optional<TimePoint> silent_until_;
};

}  // namespace rekindle::daemon
