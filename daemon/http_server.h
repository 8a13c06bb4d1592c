// Listeners and their connections. Invariant: at most limits.connections are served at once; a few
// more are told so (503), the rest is closed.
// Threading: the io thread. Ownership: handler, clock and entropy outlive the server; stop() ends
// before the destructor when start() had success.
#pragma once
#include "base/async/asio.h"
#include "base/async/event.h"
#include "base/async/gate.h"
#include "base/result.h"
#include "daemon/http_connection.h"

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <string>

namespace rekindle::daemon {

// "127.0.0.1:8080", "[::1]:0", "localhost:8080". kInvalidArgument for anything else.
Result<asio::ip::tcp::endpoint> parse_listen_address(std::string_view text);

class HttpServer {
public:
    HttpServer(asio::io_context& context, const HttpLimits& limits, const Clock& clock,
               Entropy& entropy, HttpHandler& handler);
    HttpServer(const HttpServer&) = delete;
    HttpServer& operator=(const HttpServer&) = delete;
    ~HttpServer();

    // The bound port. kConflict for an address in use.
    Result<uint16_t> listen_tcp(const asio::ip::tcp::endpoint& endpoint);
    // Replaces a socket that lies at `path`; mode 0600.
    Result<void> listen_unix(const std::string& path);
    // Begins to accept on what was bound.
    void start();
    // Accepts no more; requests may end until the deadline, are then interrupted, and a moment
    // later cut off.
    Task<> stop(std::chrono::milliseconds deadline);

    // For coroutines of handlers that outlive their request.
    Gate& gate() noexcept { return gate_; }

private:
    template <typename Acceptor>
    Task<> accept_loop(Acceptor* acceptor, ListenerFacts facts);
    void admit(HttpSocket::Stream stream, ListenerFacts facts);
    Task<> run_connection(HttpSocket::Stream stream, ListenerFacts facts);
    Task<> refuse_connection(HttpSocket::Stream stream, ListenerFacts facts);
    Task<> wait_for_connections(std::chrono::milliseconds at_most);

    const HttpConnection::Services services_;
    Gate gate_;
    std::optional<asio::ip::tcp::acceptor> tcp_;
    std::optional<asio::local::stream_protocol::acceptor> unix_;
    std::string unix_path_;
    std::set<HttpConnection*> connections_;
    size_t refusing_ = 0;
    Event connection_ended_;
    asio::steady_timer accept_pause_;
    bool stopping_ = false;
};

}  // namespace rekindle::daemon
