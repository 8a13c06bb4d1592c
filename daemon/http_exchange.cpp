#include "daemon/http_exchange.h"

#include "base/log.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

namespace rekindle::daemon {
namespace {

constexpr size_t kBodyPartBytes = 64 * kKiB;

// A client's own id is repeated only when it can't do harm in a header or a log.
bool is_sane_id(std::string_view id) noexcept {
    constexpr size_t kIdBytesMax = 128;
    return !id.empty() && id.size() <= kIdBytesMax && std::all_of(id.begin(), id.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '-' || c == '_' || c == '.' || c == ':';
    });
}

}  // namespace

HttpExchange::HttpExchange(const Parts& parts)
    : parts_(parts), head_only_(parts.parser.request().method == "HEAD") {}

HttpExchange::~HttpExchange() {
    parts_.socket.unwatch();
    parts_.socket.unwatch_silence();
}

Task<std::optional<ApiError>> HttpExchange::read_body(std::string* body) {
    const uint64_t bytes_max = parts_.limits.body_bytes;
    const auto too_large = [bytes_max] {
        return http_error(413, "body_too_large",
                          fmt::format("the request's body is larger than {} bytes", bytes_max));
    };
    if (request().content_length > bytes_max) {
        co_return too_large();
    }
    while (!body_done()) {
        auto fault = co_await read_part(body, kBodyPartBytes);
        if (fault) {
            co_return fault;
        }
        if (body->size() > bytes_max) {
            co_return too_large();
        }
    }
    co_return std::nullopt;
}

Task<std::optional<ApiError>> HttpExchange::read_part(std::string* body, size_t bytes_min) {
    HttpSocket& socket = parts_.socket;
    const size_t enough = body->size() + bytes_min;
    const bool first = !std::exchange(reading_, true);
    if (first && request().expects_continue && socket.input().empty()) {
        const std::string go_on = "HTTP/1.1 100 Continue\r\n\r\n";
        co_await socket.write(go_on);
    }
    socket.read_deadline(parts_.limits.body_time);
    uint64_t window_begin = socket.bytes_read();
    while (true) {
        const auto consumed = parts_.parser.feed(socket.input(), *body);
        if (!consumed) {
            co_return http_error(400, "bad_request", "the request's chunked body is malformed");
        }
        socket.consume(*consumed);
        if (body_done() || body->size() >= enough) {
            socket.no_read_deadline();
            co_return std::nullopt;
        }
        if (socket.bytes_read() - window_begin >= parts_.limits.body_progress_bytes) {
            socket.read_deadline(parts_.limits.body_time);
            window_begin = socket.bytes_read();
        }
        const auto read = co_await socket.read_more();
        if (read == HttpSocket::Read::kEnd) {
            co_return http_error(400, "bad_request", "the request's body ended early");
        }
        if (read == HttpSocket::Read::kLate) {
            co_return http_error(408, "timeout", "the request's body came too slowly");
        }
    }
}

std::string HttpExchange::head_text(const HttpReply& reply, std::optional<size_t> length) {
    status_ = reply.status;
    // Unread bytes of a body can't be told from the next request.
    parts_.keep_alive = parts_.keep_alive && body_done();
    const auto now = std::chrono::duration_cast<std::chrono::seconds>(parts_.clock.wall()).count();
    std::string head =
        fmt::format("HTTP/1.1 {} {}\r\nDate: {}\r\nx-request-id: {}\r\n", reply.status,
                    status_reason(reply.status), http_date(now), parts_.id.text());
    const auto add = [&head](std::string_view name, std::string_view value) {
        fmt::format_to(std::back_inserter(head), "{}: {}\r\n", name, value);
    };
    const auto client_id = request().field("x-request-id");
    if (client_id && is_sane_id(*client_id)) {
        add("x-client-request-id", *client_id);
    }
    if (!reply.content_type.empty()) {
        add("Content-Type", reply.content_type);
    }
    if (length) {
        add("Content-Length", std::to_string(*length));
    } else if (chunked_) {
        add("Transfer-Encoding", "chunked");
    }
    for (const HttpField& field : reply.fields) {
        add(field.name, field.value);
    }
    if (!parts_.keep_alive) {
        add("Connection", "close");
    } else if (!request().http11) {
        add("Connection", "keep-alive");
    }
    head += "\r\n";
    return head;
}

Task<bool> HttpExchange::reply(HttpReply reply) {
    REKINDLE_CHECK(!begun_, "a request has one answer");
    begun_ = true;
    constexpr int kNoContent = 204;
    if (reply.status == kNoContent) {
        reply.content_type.clear();
        reply.body.clear();
    }
    const auto length = reply.status == kNoContent ? std::optional<size_t>() : reply.body.size();
    std::string text = head_text(reply, length);
    if (!head_only_) {
        text += reply.body;
    }
    const bool sent = co_await parts_.socket.write(text);
    co_return sent;
}

Task<bool> HttpExchange::reply_error(ApiError error) {
    HttpReply answer;
    answer.status = error.status;
    answer.body = error_json(error);
    constexpr int kUnauthorized = 401;
    if (error.status == kUnauthorized) {
        answer.fields.push_back({"WWW-Authenticate", "Bearer"});
    }
    if (error.retry_after) {
        const auto ms = error.retry_after->count();
        answer.fields.push_back({"Retry-After", std::to_string((ms + 999) / 1000)});
        answer.fields.push_back({"retry-after-ms", std::to_string(ms)});
    }
    if (error.should_retry) {
        answer.fields.push_back({"x-should-retry", *error.should_retry ? "true" : "false"});
    }
    if (!error.timing.empty()) {
        answer.fields.push_back({"Server-Timing", std::move(error.timing)});
    }
    const bool sent = co_await reply(std::move(answer));
    co_return sent;
}

void HttpExchange::begin_stream(HttpReply head) {
    REKINDLE_CHECK(!begun_, "a request has one answer");
    begun_ = true;
    chunked_ = request().http11;
    // HTTP/1.0 knows no chunks: the connection's end is the stream's.
    parts_.keep_alive = parts_.keep_alive && chunked_;
    unsent_head_ = head_text(head, std::nullopt);
}

std::string HttpExchange::framed(const std::string& part) const {
    if (part.empty() || head_only_) {
        return {};
    }
    return chunked_ ? fmt::format("{:x}\r\n{}\r\n", part.size(), part) : part;
}

Task<bool> HttpExchange::send_part(const std::string& part) {
    REKINDLE_CHECK(begun_, "a stream begins with its head");
    const std::string bytes = std::exchange(unsent_head_, {}) + framed(part);
    const bool sent = co_await parts_.socket.write(bytes);
    co_return sent;
}

bool HttpExchange::takes_trailers() const {
    const std::string_view te = request().field("te").value_or("");
    return request().http11 && te.find("trailers") != std::string_view::npos;
}

void HttpExchange::add_trailer(std::string_view name, std::string_view value) {
    trailers_ += fmt::format("{}: {}\r\n", name, value);
}

Task<bool> HttpExchange::end_stream(const std::string& part) {
    REKINDLE_CHECK(begun_, "a stream begins with its head");
    parts_.socket.unwatch_silence();
    std::string bytes = std::exchange(unsent_head_, {}) + framed(part);
    if (chunked_ && !head_only_) {
        bytes += "0\r\n" + trailers_ + "\r\n";
    }
    const bool sent = co_await parts_.socket.write(bytes);
    co_return sent;
}

void HttpExchange::keep_alive(std::string comment, HttpReply head) {
    comment_ = std::move(comment);
    early_head_ = std::move(head);
    parts_.socket.watch_silence(parts_.limits.heartbeat, [this] { beat(); });
}

void HttpExchange::beat() {
    if (!begun_) {
        begin_stream(std::move(early_head_));
    }
    parts_.socket.write_now(std::exchange(unsent_head_, {}) + framed(comment_));
}

void HttpExchange::on_interrupt(std::function<void(Interrupt)> callback) {
    if (interrupted_) {
        callback(*interrupted_);
        return;
    }
    callback_ = std::move(callback);
    if (parts_.socket.ended()) {
        interrupt(Interrupt::kClientGone);
        return;
    }
    parts_.socket.watch([this] { interrupt(Interrupt::kClientGone); });
}

void HttpExchange::interrupt(Interrupt reason) {
    if (interrupted_) {
        return;
    }
    interrupted_ = reason;
    if (callback_ != nullptr) {
        std::exchange(callback_, nullptr)(reason);
    }
}

}  // namespace rekindle::daemon
