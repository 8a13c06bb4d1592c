// An HTTP/1.1 client for fetching and storing large objects: one request after the other on a kept
// connection, blocking, bounded in time and size. Certificates are verified (TLS 1.2 or newer,
// against the system's or SSL_CERT_FILE's roots), no proxy is ever used, redirects are the caller's
// (http_fetch.h). Invariant: a body that send() calls complete had exactly the length that the
// server announced. Threading: one thread at a time.
// Ownership: the connection and its io_context are this object's and end with it.
#pragma once
#include "base/result.h"
#include "loader/remote/url.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace rekindle::remote {

struct HttpLimits {
    std::chrono::milliseconds connect_max{10'000};  // TCP, and TLS once more.
    std::chrono::milliseconds silence_max{30'000};  // Without a byte in either direction.
    // A body must bring this much in each window of silence_max, or it is too slow to end.
    uint64_t window_bytes_min = 64ULL << 10;
};

inline constexpr uint32_t kHeadBytesMax = 64U << 10;  // Of an answer's head.

using HttpField = std::pair<std::string, std::string>;

struct HttpCall {
    std::string method = "GET";
    Url url;
    std::vector<HttpField> fields;  // Beside Host, User-Agent, Accept-Encoding, Content-Length.
    std::span<const std::byte> body;
    uint64_t body_bytes_max = 0;  // Of a good answer; kTooLarge beyond, before it is read.
};

struct HttpAnswer {
    int status = 0;
    std::optional<uint64_t> length;  // Of the body, when it was announced.
    std::string etag;                // As sent, with its quotes.
    std::string location;
    std::optional<uint64_t> range_start;  // Of a 206.
    std::optional<uint64_t> range_total;  // The whole object's length, where a 206 tells it.
    std::optional<std::chrono::seconds> retry_after;
    std::string excerpt;  // Printable beginning of a body with status >= 300.

    bool good() const noexcept { return status >= 200 && status < 300; }
};

// What becomes of a good answer's body. An error ends the transfer and is send()'s result.
class BodySink {
public:
    virtual ~BodySink() = default;
    virtual Result<void> begin(const HttpAnswer& head) = 0;
    virtual Result<void> take(std::span<const std::byte> bytes) = 0;
};

// Whether a transfer should end: asked every 100 ms on the transfer's threads. Empty: never.
using Cancelled = std::function<bool()>;

class HttpClient {
public:
    // A running send() ends with kCancelled once `cancelled` says so.
    static Result<std::unique_ptr<HttpClient>> create(HttpLimits limits, Cancelled cancelled);
    virtual ~HttpClient() = default;

    // kIo: no connection, or it broke; kTruncated: the body ended early; kDeadline: silent or too
    // slow; kForbidden: the certificate is not trusted; kTooLarge, kCorrupt, kUnsupported: not an
    // answer that is taken. Any status is a success here; the body of one that is not 2xx goes into
    // the excerpt.
    virtual Result<HttpAnswer> send(const HttpCall& call, BodySink& sink) = 0;
};

}  // namespace rekindle::remote
