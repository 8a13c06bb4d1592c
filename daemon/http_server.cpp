#include "daemon/http_server.h"

#include "base/async/spawn.h"
#include "base/log.h"

#include <boost/asio/ip/address.hpp>
#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace rekindle::daemon {
namespace {

using asio::ip::tcp;
using UnixProtocol = asio::local::stream_protocol;

constexpr size_t kRefusingMax = 64;   // Connections that are being told "503" at once.
constexpr size_t kAdminReserve = 16;  // On the Unix socket, when TCP's clients took all others.
constexpr std::chrono::milliseconds kAcceptPause{100};       // After accept() itself failed.
constexpr std::chrono::milliseconds kInterruptGrace{1'000};  // To write terminal events.

Error bind_error(const std::string& where, const boost::system::error_code& ec) {
    const bool used = ec == asio::error::address_in_use;
    return Error{used ? ErrorCode::kConflict : ErrorCode::kIo,
                 fmt::format("can't listen on {}: {}", where, ec.message())};
}

// Only a socket is removed: anything else at that path is not ours.
Result<void> remove_old_socket(const std::string& path) {
    struct stat facts{};
    if (::lstat(path.c_str(), &facts) != 0) {
        return errno == ENOENT ? Result<void>() : errno_error("stat " + path, errno);
    }
    if (!S_ISSOCK(facts.st_mode)) {
        return Error{ErrorCode::kConflict, path + " exists and is not a socket"};
    }
    return ::unlink(path.c_str()) == 0 ? Result<void>() : errno_error("unlink " + path, errno);
}

}  // namespace

Result<tcp::endpoint> parse_listen_address(std::string_view text) {
    const Error bad{ErrorCode::kInvalidArgument,
                    fmt::format("listen address \"{}\": write ADDRESS:PORT, for instance "
                                "127.0.0.1:8080 or [::1]:8080",
                                text)};
    const size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) {
        return bad;
    }
    std::string host(text.substr(0, colon));
    const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
    if (bracketed) {
        host = host.substr(1, host.size() - 2);
    } else if (host == "localhost") {
        host = "127.0.0.1";
    }
    uint16_t port = 0;
    const std::string_view digits = text.substr(colon + 1);
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    boost::system::error_code ec;
    const auto address = asio::ip::make_address(host, ec);
    if (ec || digits.empty() || parsed.ec != std::errc() ||
        parsed.ptr != digits.data() + digits.size() || address.is_v6() != bracketed) {
        return bad;
    }
    return tcp::endpoint(address, port);
}

HttpServer::HttpServer(asio::io_context& context, const HttpLimits& limits, const Clock& clock,
                       Entropy& entropy, HttpHandler& handler)
    : services_{context, limits, clock, entropy, handler},
      gate_(context),
      connection_ended_(context),
      accept_pause_(context) {}

HttpServer::~HttpServer() {
    if (!unix_path_.empty()) {
        ::unlink(unix_path_.c_str());
    }
}

Result<uint16_t> HttpServer::listen_tcp(const tcp::endpoint& endpoint) {
    const std::string where = fmt::format("{}:{}", endpoint.address().to_string(), endpoint.port());
    tcp::acceptor acceptor(services_.context);
    boost::system::error_code ec;
    acceptor.open(endpoint.protocol(), ec);
    if (!ec) {
        acceptor.set_option(tcp::acceptor::reuse_address(true), ec);
    }
    if (!ec) {
        acceptor.bind(endpoint, ec);
    }
    if (!ec) {
        acceptor.listen(asio::socket_base::max_listen_connections, ec);
    }
    if (ec) {
        return bind_error(where, ec);
    }
    const uint16_t port = acceptor.local_endpoint(ec).port();
    if (ec) {
        return bind_error(where, ec);
    }
    tcp_.emplace(std::move(acceptor));
    return port;
}

Result<void> HttpServer::listen_unix(const std::string& path) {
    if (path.size() >= sizeof(sockaddr_un::sun_path)) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("{}: {} bytes, the path of a Unix socket has at most {}", path,
                                 path.size(), sizeof(sockaddr_un::sun_path) - 1)};
    }
    const auto removed = remove_old_socket(path);
    if (!removed) {
        return removed.error();
    }
    UnixProtocol::acceptor acceptor(services_.context);
    boost::system::error_code ec;
    acceptor.open(UnixProtocol(), ec);
    if (ec) {
        return bind_error(path, ec);
    }
    // Before bind(), so that there is no moment at which others could connect.
    if (::fchmod(acceptor.native_handle(), S_IRUSR | S_IWUSR) != 0) {
        return errno_error("chmod " + path, errno);
    }
    acceptor.bind(UnixProtocol::endpoint(path), ec);
    if (!ec) {
        unix_path_ = path;
        acceptor.listen(asio::socket_base::max_listen_connections, ec);
    }
    if (ec) {
        return bind_error(path, ec);
    }
    if (::chmod(path.c_str(), S_IRUSR | S_IWUSR) != 0) {
        return errno_error("chmod " + path, errno);
    }
    unix_.emplace(std::move(acceptor));
    return {};
}

void HttpServer::start() {
    if (tcp_) {
        boost::system::error_code ec;
        const ListenerFacts facts{.loopback = tcp_->local_endpoint(ec).address().is_loopback()};
        auto accepting = accept_loop(&*tcp_, facts);
        static_cast<void>(spawn(services_.context, "accept_tcp", gate_, std::move(accepting)));
    }
    if (unix_) {
        auto accepting = accept_loop(&*unix_, ListenerFacts{.unix_socket = true});
        static_cast<void>(spawn(services_.context, "accept_unix", gate_, std::move(accepting)));
    }
}

template <typename Acceptor>
Task<> HttpServer::accept_loop(Acceptor* acceptor, ListenerFacts facts) {
    while (!stopping_) {
        auto out = co_await acceptor->async_accept(kAsTuple);
        auto& [ec, socket] = out;
        if (stopping_) {
            break;
        }
        if (ec == asio::error::connection_aborted) {
            continue;
        }
        if (ec) {  // No descriptors left, for instance: those in use will be closed.
            log_warning("accept_failed", {{"reason", ec.message()}});
            accept_pause_.expires_after(kAcceptPause);
            auto paused = co_await accept_pause_.async_wait(kAsTuple);
            static_cast<void>(paused);
            continue;
        }
        if (!facts.unix_socket) {
            boost::system::error_code ignored;
            socket.set_option(tcp::no_delay(true), ignored);
        }
        admit(HttpSocket::Stream(std::move(socket)), facts);
    }
}

void HttpServer::admit(HttpSocket::Stream stream, ListenerFacts facts) {
    const size_t reserve = facts.unix_socket ? kAdminReserve : 0;
    if (connections_.size() < services_.limits.connections + reserve) {
        auto running = run_connection(std::move(stream), facts);
        static_cast<void>(spawn(services_.context, "connection", gate_, std::move(running)));
    } else if (refusing_ < kRefusingMax) {
        auto refusing = refuse_connection(std::move(stream), facts);
        static_cast<void>(spawn(services_.context, "refuse", gate_, std::move(refusing)));
    }
}

Task<> HttpServer::run_connection(HttpSocket::Stream stream, ListenerFacts facts) {
    HttpConnection connection(services_, std::move(stream), facts);
    connections_.insert(&connection);
    if (stopping_) {
        connection.drain();
    }
    co_await connection.serve();
    connections_.erase(&connection);
    connection_ended_.notify();
}

Task<> HttpServer::refuse_connection(HttpSocket::Stream stream, ListenerFacts facts) {
    HttpConnection connection(services_, std::move(stream), facts);
    ++refusing_;
    co_await connection.refuse();
    --refusing_;
}

Task<> HttpServer::wait_for_connections(std::chrono::milliseconds at_most) {
    // Shared: the handler may be queued already when this coroutine goes on.
    struct Wait {
        bool late = false;
        bool over = false;
    };

    auto state = std::make_shared<Wait>();
    asio::steady_timer timer(services_.context);
    timer.expires_after(at_most);
    timer.async_wait([state, this](const boost::system::error_code& ec) {
        if (!ec && !state->over) {
            state->late = true;
            connection_ended_.notify();
        }
    });
    while (!connections_.empty() && !state->late) {
        co_await connection_ended_.wait();
    }
    state->over = true;
}

Task<> HttpServer::stop(std::chrono::milliseconds deadline) {
    stopping_ = true;
    boost::system::error_code ignored;
    if (tcp_) {
        tcp_->close(ignored);
    }
    if (unix_) {
        unix_->close(ignored);
    }
    accept_pause_.cancel();
    for (HttpConnection* connection : connections_) {
        connection->drain();
    }
    co_await wait_for_connections(deadline);
    const std::vector<HttpConnection*> late(connections_.begin(), connections_.end());
    for (HttpConnection* connection : late) {
        connection->interrupt();
    }
    if (!late.empty()) {
        log_warning("answers_interrupted", {{"connections", late.size()}});
        co_await wait_for_connections(kInterruptGrace);
    }
    for (HttpConnection* connection : connections_) {
        connection->abort();
    }
    co_await gate_.close();
}

}  // namespace rekindle::daemon
