// One TCP connection, with TLS on it where the address says https: opened, and closed by
// destruction. Both kinds look alike to what reads and writes. Threading: its io_context's thread.
#pragma once
#include "base/async/asio.h"
#include "base/result.h"
#include "loader/remote/http_client.h"
#include "loader/remote/url.h"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>

#include <variant>

namespace rekindle::remote {

namespace beast = boost::beast;

class Connection {
public:
    using Plain = beast::tcp_stream;
    using Tls = beast::ssl_stream<beast::tcp_stream>;

    // Roots of the system, or of SSL_CERT_FILE and SSL_CERT_DIR; TLS 1.2 or newer.
    static Result<asio::ssl::context> trust();

    Connection(asio::io_context& context, asio::ssl::context& tls, const Url& to);

    // kIo, kDeadline, kForbidden (certificate).
    Task<Result<void>> open(const HttpLimits* limits);
    // Ends what is in progress.
    void abort();

    bool reaches(const Url& url) const noexcept { return to_.same_origin(url); }

    const Url& to() const noexcept { return to_; }

    std::variant<Plain, Tls>& stream() noexcept { return stream_; }

    beast::tcp_stream& lowest() noexcept;

    beast::flat_buffer& buffer() noexcept { return buffer_; }

    // What went wrong on the way to `to`.
    Error fault(const boost::system::error_code& ec, const HttpLimits& limits) const;

private:
    Task<Result<asio::ip::tcp::resolver::results_type>> resolve();
    Task<Result<void>> shake_hands(const HttpLimits* limits);

    const Url to_;
    asio::ip::tcp::resolver resolver_;
    std::variant<Plain, Tls> stream_;
    beast::flat_buffer buffer_;  // What was received beyond the last answer.
};

}  // namespace rekindle::remote
