#include "loader/remote/detail/connection.h"

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/http/error.hpp>
#include <fmt/format.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <string>

namespace rekindle::remote {
namespace {

namespace ssl = asio::ssl;
using asio::ip::tcp;

std::variant<Connection::Plain, Connection::Tls> make_stream(asio::io_context& context,
                                                             ssl::context& tls, bool secure) {
    if (secure) {
        return Connection::Tls(context, tls);
    }
    return Connection::Plain(context);
}

}  // namespace

Result<ssl::context> Connection::trust() {
    ssl::context tls(ssl::context::tls_client);
    boost::system::error_code ec;
    tls.set_options(ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1, ec);
    if (!ec) {
        tls.set_default_verify_paths(ec);
    }
    if (!ec) {
        tls.set_verify_mode(ssl::verify_peer, ec);
    }
    if (ec) {
        return Error{ErrorCode::kInternal, "TLS: " + ec.message()};
    }
    return tls;
}

Connection::Connection(asio::io_context& context, ssl::context& tls, const Url& to)
    : to_(to), resolver_(context), stream_(make_stream(context, tls, to.secure)) {}

beast::tcp_stream& Connection::lowest() noexcept {
    if (auto* const plain = std::get_if<Plain>(&stream_)) {
        return *plain;
    }
    return std::get_if<Tls>(&stream_)->next_layer();
}

void Connection::abort() {
    resolver_.cancel();
    lowest().close();
}

Task<Result<tcp::resolver::results_type>> Connection::resolve() {
    boost::system::error_code ec;
    const auto address = asio::ip::make_address(to_.host, ec);
    if (!ec) {  // No thread and no name server is asked.
        co_return tcp::resolver::results_type::create(tcp::endpoint(address, to_.port), to_.host,
                                                      std::to_string(to_.port));
    }
    auto out = co_await resolver_.async_resolve(to_.host, std::to_string(to_.port), kAsTuple);
    auto& [failed, found] = out;
    if (failed) {
        co_return Error{ErrorCode::kIo, fmt::format("{}: the name can't be resolved: {}",
                                                    to_.origin(), failed.message())};
    }
    co_return found;
}

Task<Result<void>> Connection::open(const HttpLimits* limits) {
    auto found = co_await resolve();
    if (!found) {
        co_return std::move(found).error();
    }
    lowest().expires_after(limits->connect_max);
    auto out = co_await lowest().async_connect(*found, kAsTuple);
    auto& [ec, endpoint] = out;
    if (ec) {
        const bool late = ec == beast::error::timeout;
        co_return Error{
            late ? ErrorCode::kDeadline : ErrorCode::kIo,
            fmt::format("{}: no connection{}: {}", to_.origin(),
                        late ? fmt::format(" within {} ms", limits->connect_max.count()) : "",
                        ec.message())};
    }
    boost::system::error_code ignored;
    lowest().socket().set_option(tcp::no_delay(true), ignored);
    if (!to_.secure) {
        co_return Result<void>();
    }
    auto shaken = co_await shake_hands(limits);
    co_return shaken;
}

Task<Result<void>> Connection::shake_hands(const HttpLimits* limits) {
    Tls& stream = *std::get_if<Tls>(&stream_);
    // An address has no name to send (RFC 6066), but its certificate is compared all the same.
    boost::system::error_code numeric;
    asio::ip::make_address(to_.host, numeric);
    if (numeric && SSL_set_tlsext_host_name(stream.native_handle(), to_.host.c_str()) != 1) {
        co_return Error{ErrorCode::kInternal, "TLS: the host's name can't be set"};
    }
    boost::system::error_code failed;
    stream.set_verify_callback(ssl::host_name_verification(to_.host), failed);
    lowest().expires_after(limits->connect_max);
    auto out = co_await stream.async_handshake(ssl::stream_base::client, kAsTuple);
    auto& [ec] = out;
    if (!ec && !failed) {
        co_return Result<void>();
    }
    const long verdict = SSL_get_verify_result(stream.native_handle());
    if (verdict != X509_V_OK) {
        co_return Error{
            ErrorCode::kForbidden,
            fmt::format(
                "{}: its certificate is not trusted ({}): add its authority to the system's "
                "certificates, or to the file that SSL_CERT_FILE names for rekindled",
                to_.origin(), X509_verify_cert_error_string(verdict))};
    }
    co_return fault(ec ? ec : failed, *limits).with_context("TLS");
}

Error Connection::fault(const boost::system::error_code& ec, const HttpLimits& limits) const {
    if (ec == beast::error::timeout) {
        return Error{ErrorCode::kDeadline,
                     fmt::format("{}: silent for {} ms", to_.origin(), limits.silence_max.count())};
    }
    if (ec == beast::http::error::end_of_stream || ec == beast::http::error::partial_message ||
        ec == asio::error::eof || ec == ssl::error::stream_truncated) {
        return Error{ErrorCode::kTruncated,
                     to_.origin() + ": the connection was cut before the answer was whole"};
    }
    if (ec.category() == beast::http::make_error_code(beast::http::error::bad_version).category()) {
        return Error{ErrorCode::kCorrupt, fmt::format("{}: what it answers is not HTTP: {}",
                                                      to_.origin(), ec.message())};
    }
    return Error{ErrorCode::kIo, fmt::format("{}: {}", to_.origin(), ec.message())};
}

}  // namespace rekindle::remote
