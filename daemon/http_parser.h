// HTTP/1.1 requests, parsed by Beast behind a strict layer: what two readers could frame
// differently is refused, because a proxy in front may be the other reader (request smuggling).
// Use: find_head() on the bytes read so far, parse_head() on exactly the head, then feed() the
// bytes that follow until body_done(). Pure: no sockets. One parser per request.
#pragma once
#include "daemon/http_limits.h"
#include "daemon/http_message.h"
#include "daemon/openai_errors.h"

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace rekindle::daemon {

// Looks for the end of a head; keeps its place, so that bytes that trickle in are read once.
class HeadFinder {
public:
    // Bytes of the head with its empty line, or 0 while it is not complete. `bytes` begins at the
    // request's first byte and has only grown since the last call.
    size_t find(std::string_view bytes);

    // A line that ends with a bare LF, or a NUL: no head that may be answered.
    bool broken() const noexcept { return broken_; }

private:
    size_t seen_ = 0;
    bool broken_ = false;
};

class HttpParser {
public:
    explicit HttpParser(const HttpLimits& limits);
    HttpParser(const HttpParser&) = delete;
    HttpParser& operator=(const HttpParser&) = delete;
    ~HttpParser();

    // Nothing, or why the request is refused; the connection can't be used any more then.
    std::optional<ApiError> parse_head(std::string_view head);
    const HttpRequest& request() const noexcept;

    // Appends body bytes to `body`. Gives how many of `bytes` were consumed; less than all means
    // that more must be read, or that the body is complete. Nothing when the framing is broken.
    std::optional<size_t> feed(std::string_view bytes, std::string& body);
    bool body_done() const noexcept;

private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace rekindle::daemon
