// One connection: request after request, each read under limits, handled, answered; then closed so
// that the client can read what it was told.
// Threading: the io thread. Ownership: the coroutine that awaits serve().
#pragma once
#include "base/async/asio.h"
#include "base/clock.h"
#include "base/random.h"
#include "daemon/http_exchange.h"
#include "daemon/http_limits.h"
#include "daemon/http_parser.h"
#include "daemon/http_socket.h"

#include <memory>
#include <optional>

namespace rekindle::daemon {

class HttpConnection {
public:
    struct Services {
        asio::io_context& context;
        const HttpLimits& limits;
        const Clock& clock;
        Entropy& entropy;
        HttpHandler& handler;
    };

    HttpConnection(const Services& services, HttpSocket::Stream stream, ListenerFacts listener);
    HttpConnection(const HttpConnection&) = delete;
    HttpConnection& operator=(const HttpConnection&) = delete;
    ~HttpConnection();

    // Until the client or the daemon ends the connection.
    Task<> serve();
    // One answer, 503, then the end: for connections beyond the limit.
    Task<> refuse();
    // Ends after the running request; at once when there is none.
    void drain();
    // Tells the running request that its time is up.
    void interrupt();

    // Ends it now.
    void abort() { socket_->abort(); }

private:
    enum class Head { kParsed, kRefused, kClosed };
    // Reads one head and parses it with `parser`; kRefused leaves the reason in refusal_.
    Task<Head> read_head(HttpParser* parser);
    Task<> answer(HttpParser* parser);
    Task<> refuse_head(HttpParser* parser);
    Task<> linger();

    const Services services_;
    const ListenerFacts listener_;
    std::shared_ptr<HttpSocket> socket_;  // Its pending handlers may outlive the connection.
    HttpExchange* exchange_ = nullptr;    // The running request's.
    std::optional<ApiError> refusal_;
    bool first_ = true;
    bool keep_alive_ = true;
    bool draining_ = false;
};

}  // namespace rekindle::daemon
