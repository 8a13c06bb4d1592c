#include "daemon/http_connection.h"

#include <algorithm>
#include <utility>

namespace rekindle::daemon {

HttpConnection::HttpConnection(const Services& services, HttpSocket::Stream stream,
                               ListenerFacts listener)
    : services_(services),
      listener_(listener),
      socket_(std::make_shared<HttpSocket>(services.context, std::move(stream),
                                           listener.unix_socket, services.limits)) {}

HttpConnection::~HttpConnection() {
    socket_->close();
}

Task<> HttpConnection::serve() {
    while (keep_alive_ && !draining_) {
        HttpParser parser(services_.limits);
        const Head head = co_await read_head(&parser);
        if (head == Head::kClosed) {
            co_return;
        }
        if (head == Head::kRefused) {
            co_await refuse_head(&parser);
        } else {
            co_await answer(&parser);
        }
        first_ = false;
    }
    co_await linger();
}

Task<HttpConnection::Head> HttpConnection::read_head(HttpParser* parser) {
    const HttpLimits& limits = services_.limits;
    HeadFinder finder;
    bool begun = false;
    socket_->read_deadline(first_ ? limits.head_time : limits.idle_time);
    while (true) {
        while (!begun && socket_->input().starts_with("\r\n")) {
            socket_->consume(2);  // RFC 9112 2.2: some clients send one after a body.
        }
        // A lone CR may be the first half of one more.
        if (!begun && !socket_->input().empty() && socket_->input() != "\r") {
            begun = true;
            socket_->read_deadline(limits.head_time);
        }
        const size_t bytes = begun ? finder.find(socket_->input()) : 0;
        if (finder.broken()) {
            refusal_ = http_error(400, "bad_request", "the request's head is malformed");
            co_return Head::kRefused;
        }
        if (std::max(bytes, bytes == 0 ? socket_->input().size() : 0) > limits.head_bytes) {
            refusal_ = http_error(431, "head_too_large", "the request's head is too large");
            co_return Head::kRefused;
        }
        if (bytes > 0) {
            socket_->no_read_deadline();
            refusal_ = parser->parse_head(std::string_view(socket_->input()).substr(0, bytes));
            socket_->consume(bytes);
            co_return refusal_ ? Head::kRefused : Head::kParsed;
        }
        const auto read = co_await socket_->read_more();
        if (read == HttpSocket::Read::kLate && begun) {
            refusal_ = http_error(408, "timeout", "the request's head came too slowly");
            co_return Head::kRefused;
        }
        if (read != HttpSocket::Read::kSome && !(read == HttpSocket::Read::kWoken && begun)) {
            co_return Head::kClosed;  // The end, an idle connection's, or a drain's.
        }
    }
}

Task<> HttpConnection::answer(HttpParser* parser) {
    HttpExchange exchange({.socket = *socket_,
                           .parser = *parser,
                           .limits = services_.limits,
                           .clock = services_.clock,
                           .listener = listener_,
                           .id = billing::RequestId::make(services_.clock, services_.entropy),
                           .keep_alive = parser->request().keep_alive && !draining_});
    exchange_ = &exchange;
    co_await services_.handler.handle(exchange);
    exchange_ = nullptr;
    keep_alive_ = exchange.keeps_alive() && exchange.begun() && !exchange.interrupted() &&
                  exchange.body_done();
}

Task<> HttpConnection::refuse_head(HttpParser* parser) {
    HttpExchange exchange({.socket = *socket_,
                           .parser = *parser,
                           .limits = services_.limits,
                           .clock = services_.clock,
                           .listener = listener_,
                           .id = billing::RequestId::make(services_.clock, services_.entropy),
                           .keep_alive = false});
    co_await exchange.reply_error(std::move(*refusal_));
    keep_alive_ = false;
}

Task<> HttpConnection::refuse() {
    HttpParser parser(services_.limits);
    ApiError error = api_error(
        Error{ErrorCode::kOverloaded, "this node has as many connections as it may: try again"});
    refusal_ = std::move(error);
    co_await refuse_head(&parser);
    co_await linger();
}

// Closing a socket with unread bytes resets the connection, and the client may never see the
// answer: read on for a moment.
Task<> HttpConnection::linger() {
    socket_->shut_write();
    socket_->read_deadline(services_.limits.linger);
    while (true) {
        socket_->consume(socket_->input().size());
        const auto read = co_await socket_->read_more();
        if (read == HttpSocket::Read::kEnd || read == HttpSocket::Read::kLate) {
            co_return;
        }
    }
}

void HttpConnection::drain() {
    draining_ = true;
    if (exchange_ == nullptr) {
        socket_->wake();
    } else {
        exchange_->close_after();
    }
}

void HttpConnection::interrupt() {
    if (exchange_ != nullptr) {
        exchange_->interrupt(Interrupt::kShutdown);
    }
}

}  // namespace rekindle::daemon
