#include "loader/remote/http_client.h"

#include "base/async/gate.h"
#include "base/async/spawn.h"
#include "base/version.h"
#include "loader/remote/detail/connection.h"

#include <boost/beast/core/span.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/serializer.hpp>
#include <boost/beast/http/span_body.hpp>
#include <boost/beast/http/write.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>

namespace rekindle::remote {
namespace {

namespace http = beast::http;
using Request = http::request<http::span_body<const char>>;
using Parser = http::response_parser<http::buffer_body>;

constexpr std::chrono::milliseconds kCancelPoll{100};
constexpr size_t kBlockBytes = 256U << 10;
constexpr size_t kExcerptBytesMax = 512;
// What is read of a refusal's body, so that the connection can be kept.
constexpr uint64_t kRefusalBytesMax = 64U << 10;

struct Exchange {
    const HttpCall& call;
    BodySink& sink;
    const HttpLimits& limits;
    bool any_answer = false;  // A byte of it has come.
    bool keep = false;        // The connection can take another request.
};

std::optional<uint64_t> number_of(std::string_view text) {
    uint64_t value = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool whole = read.ec == std::errc() && read.ptr == text.data() + text.size();
    return whole ? std::optional(value) : std::nullopt;
}

// "bytes 100-199/1000", where the total may be "*".
void read_content_range(std::string_view text, HttpAnswer& answer) {
    constexpr std::string_view kUnit = "bytes ";
    const size_t dash = text.find('-');
    const size_t slash = text.find('/');
    if (!text.starts_with(kUnit) || dash == std::string_view::npos ||
        slash == std::string_view::npos || dash > slash) {
        return;
    }
    answer.range_start = number_of(text.substr(kUnit.size(), dash - kUnit.size()));
    answer.range_total = number_of(text.substr(slash + 1));
}

HttpAnswer head_of(const Parser& parser) {
    const auto& head = parser.get();
    HttpAnswer answer;
    answer.status = static_cast<int>(head.result_int());
    if (const auto length = parser.content_length()) {
        answer.length = *length;
    }
    answer.etag = head[http::field::etag];
    answer.location = head[http::field::location];
    if (answer.status == static_cast<int>(http::status::partial_content)) {
        read_content_range(head[http::field::content_range], answer);
    }
    if (const auto seconds = number_of(head[http::field::retry_after])) {
        constexpr uint64_t kDaySeconds = 86'400;
        answer.retry_after = std::chrono::seconds(std::min(*seconds, kDaySeconds));
    }
    return answer;
}

// Whether a good answer's body is of a kind that can be taken.
Result<void> check_head(const Parser& parser, const HttpAnswer& answer, const Exchange& x) {
    const std::string shown = x.call.url.shown();
    const std::string_view encoding = parser.get()[http::field::content_encoding];
    if (!encoding.empty() && encoding != "identity") {
        return Error{ErrorCode::kUnsupported,
                     fmt::format("{}: it is sent as \"{}\" though no encoding was asked for", shown,
                                 encoding.substr(0, 32))};
    }
    if (answer.length && *answer.length > x.call.body_bytes_max) {
        return Error{ErrorCode::kTooLarge, fmt::format("{}: {} bytes, the limit is {}", shown,
                                                       *answer.length, x.call.body_bytes_max)};
    }
    if (parser.need_eof() && !parser.is_done()) {
        return Error{ErrorCode::kUnsupported,
                     shown +
                         ": the server does not say how long it is, so that its end can't be "
                         "told from a cut: use one that sends Content-Length"};
    }
    return {};
}

// Ends transfers that trickle.
class PaceWatch {
public:
    explicit PaceWatch(const HttpLimits& limits)
        : limits_(limits), start_(std::chrono::steady_clock::now()) {}

    bool too_slow(size_t got) {
        bytes_ += got;
        const auto now = std::chrono::steady_clock::now();
        if (now - start_ < limits_.silence_max) {
            return false;
        }
        start_ = now;
        return std::exchange(bytes_, 0) < limits_.window_bytes_min;
    }

private:
    const HttpLimits& limits_;
    std::chrono::steady_clock::time_point start_;
    uint64_t bytes_ = 0;
};

// Where the bytes of an answer go: to the sink, or into the excerpt.
class BodyTaker {
public:
    BodyTaker(Exchange& x, HttpAnswer& answer) : x_(x), answer_(answer), pace_(x.limits) {}

    Result<void> take(std::span<const char> bytes) {
        total_ += bytes.size();
        if (!answer_.good()) {
            add_excerpt(bytes);
            return {};
        }
        if (total_ > x_.call.body_bytes_max) {
            return Error{ErrorCode::kTooLarge,
                         fmt::format("{}: longer than the limit of {} bytes", x_.call.url.shown(),
                                     x_.call.body_bytes_max)};
        }
        if (pace_.too_slow(bytes.size())) {
            return Error{ErrorCode::kDeadline,
                         fmt::format("{}: less than {} bytes in {} ms", x_.call.url.shown(),
                                     x_.limits.window_bytes_min, x_.limits.silence_max.count())};
        }
        return bytes.empty() ? Result<void>() : x_.sink.take(std::as_bytes(bytes));
    }

    // A refusal that does not end is not read to its end.
    bool enough() const noexcept { return !answer_.good() && total_ > kRefusalBytesMax; }

private:
    void add_excerpt(std::span<const char> bytes) {
        for (const char c : bytes) {
            if (answer_.excerpt.size() == kExcerptBytesMax) {
                return;
            }
            answer_.excerpt.push_back(c >= 0x20 && c < 0x7F ? c : ' ');
        }
    }

    Exchange& x_;
    HttpAnswer& answer_;
    PaceWatch pace_;
    uint64_t total_ = 0;
};

template <typename Stream>
Task<Result<void>> write_request(Connection* connection, Stream* stream, const Exchange* x) {
    Request request;
    request.version(11);
    request.method_string(x->call.method);
    request.target(x->call.url.target);
    request.set(http::field::host, x->call.url.authority());
    request.set(http::field::user_agent, "rekindle/" + std::string(version()));
    request.set(http::field::accept_encoding, "identity");
    for (const auto& [name, value] : x->call.fields) {
        request.set(name, value);
    }
    request.body() = {reinterpret_cast<const char*>(x->call.body.data()), x->call.body.size()};
    request.prepare_payload();
    http::serializer<true, http::span_body<const char>> serializer(request);
    while (!serializer.is_done()) {
        connection->lowest().expires_after(x->limits.silence_max);
        auto out = co_await http::async_write_some(*stream, serializer, kAsTuple);
        auto& [ec, written] = out;
        if (ec) {
            co_return connection->fault(ec, x->limits);
        }
    }
    co_return Result<void>();
}

template <typename Stream>
Task<Result<void>> read_body(Connection* connection, Stream* stream, Parser* parser,
                             BodyTaker* taker, const HttpLimits* limits) {
    std::vector<char> block(kBlockBytes);
    while (!parser->is_done() && !taker->enough()) {
        auto& body = parser->get().body();
        body.data = block.data();
        body.size = block.size();
        body.more = true;
        connection->lowest().expires_after(limits->silence_max);
        auto out = co_await http::async_read_some(*stream, connection->buffer(), *parser, kAsTuple);
        auto& [ec, read] = out;
        if (ec && ec != http::error::need_buffer) {
            co_return connection->fault(ec, *limits);
        }
        auto taken = taker->take(std::span<const char>(block).first(block.size() - body.size));
        if (!taken) {
            co_return taken;
        }
    }
    co_return Result<void>();
}

template <typename Stream>
Task<Result<HttpAnswer>> read_answer(Connection* connection, Stream* stream, Exchange* x) {
    Parser parser;
    parser.header_limit(kHeadBytesMax);
    parser.body_limit(boost::none);  // Bounded by BodyTaker, which knows what is asked for.
    parser.skip(x->call.method == "HEAD");
    connection->lowest().expires_after(x->limits.silence_max);
    auto out = co_await http::async_read_header(*stream, connection->buffer(), parser, kAsTuple);
    auto& [ec, read] = out;
    x->any_answer = read > 0;
    if (ec) {
        co_return connection->fault(ec, x->limits);
    }
    HttpAnswer answer = head_of(parser);
    if (answer.good() && x->call.method != "HEAD") {
        auto begun = check_head(parser, answer, *x);
        if (begun) {
            begun = x->sink.begin(answer);
        }
        if (!begun) {
            co_return std::move(begun).error();
        }
    }
    BodyTaker taker(*x, answer);
    auto taken = co_await read_body(connection, stream, &parser, &taker, &x->limits);
    if (!taken && answer.good()) {
        co_return std::move(taken).error();
    }
    x->keep = taken.ok() && parser.is_done() && parser.keep_alive();
    co_return answer;
}

template <typename Stream>
Task<Result<HttpAnswer>> exchange_on(Connection* connection, Stream* stream, Exchange* x) {
    const auto written = co_await write_request(connection, stream, x);
    // Who refuses early may stop reading: what it said before is worth more than the broken pipe.
    auto answer = co_await read_answer(connection, stream, x);
    connection->lowest().expires_never();
    if (!written && !answer) {
        co_return written.error();
    }
    x->keep = x->keep && written.ok();
    co_return answer;
}

class BeastClient final : public HttpClient {
public:
    BeastClient(asio::ssl::context tls, HttpLimits limits, Cancelled cancelled)
        : tls_(std::move(tls)), limits_(limits), cancelled_(std::move(cancelled)) {}

    Result<HttpAnswer> send(const HttpCall& call, BodySink& sink) override {
        Exchange x{.call = call, .sink = sink, .limits = limits_};
        const bool kept = connection_ && connection_->reaches(call.url);
        auto answer = send_once(x);
        if (!answer && kept && !x.any_answer && !is_cancelled()) {
            // The server closed a connection that it had kept until now: not a fault.
            answer = send_once(x);
        }
        return answer;
    }

private:
    bool is_cancelled() const { return cancelled_ && cancelled_(); }

    Result<HttpAnswer> send_once(Exchange& x) {
        std::optional<Result<HttpAnswer>> result;
        auto running = run(&x, &result);
        REKINDLE_CHECK(spawn(context_, "remote_request", gate_, std::move(running)),
                       "a client is used after its end");
        bool aborted = false;
        while (gate_.count() > 0) {
            context_.restart();
            context_.run_for(kCancelPoll);
            if (is_cancelled() && !std::exchange(aborted, true) && connection_) {
                connection_->abort();
            }
        }
        if (!x.keep) {
            connection_.reset();
        }
        if (aborted && !*result) {
            return Error{ErrorCode::kCancelled, "the transfer was cancelled"};
        }
        return std::move(*result);
    }

    Task<> run(Exchange* x, std::optional<Result<HttpAnswer>>* result) {
        x->keep = false;
        if (!connection_ || !connection_->reaches(x->call.url)) {
            connection_.emplace(context_, tls_, x->call.url);
            auto opened = co_await connection_->open(&limits_);
            if (!opened) {
                result->emplace(std::move(opened).error());
                co_return;
            }
        }
        Connection* const to = &*connection_;
        if (auto* const plain = std::get_if<Connection::Plain>(&to->stream())) {
            auto answer = co_await exchange_on(to, plain, x);
            result->emplace(std::move(answer));
        } else {
            auto answer = co_await exchange_on(to, std::get_if<Connection::Tls>(&to->stream()), x);
            result->emplace(std::move(answer));
        }
    }

    asio::io_context context_{1};
    Gate gate_{context_};
    asio::ssl::context tls_;
    const HttpLimits limits_;
    const Cancelled cancelled_;
    std::optional<Connection> connection_;
};

}  // namespace

Result<std::unique_ptr<HttpClient>> HttpClient::create(HttpLimits limits, Cancelled cancelled) {
    auto tls = Connection::trust();
    if (!tls) {
        return std::move(tls).error();
    }
    return std::unique_ptr<HttpClient>(
        std::make_unique<BeastClient>(std::move(tls).value(), limits, std::move(cancelled)));
}

}  // namespace rekindle::remote
