// One request and its answer, as route handlers see them. A handler reads the body (or not), then
// gives one whole reply or one stream; what it leaves undone the connection sorts out.
// Threading: the io thread. Ownership: the connection's coroutine; handlers get a reference that is
// good until they return.
#pragma once
#include "base/async/asio.h"
#include "base/clock.h"
#include "base/unique_fd.h"
#include "billing/usage_event.h"
#include "daemon/http_limits.h"
#include "daemon/http_message.h"
#include "daemon/http_parser.h"
#include "daemon/http_socket.h"
#include "daemon/openai_errors.h"

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace rekindle::daemon {

// Through which door a request came.
struct ListenerFacts {
    bool unix_socket = false;
    bool loopback = false;  // TCP on 127.0.0.0/8 or ::1.
};

// Whom a request is billed to: what its key says, or the defaults where none is needed.
struct Caller {
    std::string organization = "default";
    std::string project = "default";
    std::string key = "default";  // The key's id.
};

// Why an answer can't go on.
enum class Interrupt {
    kClientGone,
    kShutdown,  // The daemon's deadline for running answers has passed.
};

class HttpExchange {
public:
    struct Parts {
        HttpSocket& socket;
        HttpParser& parser;
        const HttpLimits& limits;
        const Clock& clock;
        ListenerFacts listener;
        billing::RequestId id;
        bool keep_alive = true;
    };

    explicit HttpExchange(const Parts& parts);
    HttpExchange(const HttpExchange&) = delete;
    HttpExchange& operator=(const HttpExchange&) = delete;
    ~HttpExchange();

    const HttpRequest& request() const noexcept { return parts_.parser.request(); }

    const billing::RequestId& id() const noexcept { return parts_.id; }

    const ListenerFacts& listener() const noexcept { return parts_.listener; }

    // Set by the router before a route's handler runs.
    const Caller& caller() const noexcept { return caller_; }

    void set_caller(Caller caller) { caller_ = std::move(caller); }

    const HttpLimits& limits() const noexcept { return parts_.limits; }

    const Clock& clock() const noexcept { return parts_.clock; }

    // ---- Body ----
    // The whole body of a JSON route. The error is to be given as the reply.
    Task<std::optional<ApiError>> read_body(std::string* body);
    // Appends at least `bytes_min` more bytes, less only at the body's end (see body_done()).
    Task<std::optional<ApiError>> read_part(std::string* body, size_t bytes_min);

    bool body_done() const noexcept { return parts_.parser.body_done(); }

    // The open file that came with the request.
    std::optional<UniqueFd> take_descriptor() { return parts_.socket.take_descriptor(); }

    // ---- Answer: each gives false when the client can't be reached any more ----
    Task<bool> reply(HttpReply reply);
    // The error's JSON with its status and what it says about trying again.
    Task<bool> reply_error(ApiError error);
    // Begins a stream: its head goes out with the first part. `head.body` is not used.
    void begin_stream(HttpReply head);
    // `part` outlives the call.
    Task<bool> send_part(const std::string& part);
    // The last part; the stream is complete then.
    Task<bool> end_stream(const std::string& part);

    // The client takes fields after a stream's last part (RFC 9110 10.1.4).
    bool takes_trailers() const;
    // `name` and `value` follow the last part of a stream; only for who takes them.
    void add_trailer(std::string_view name, std::string_view value);

    bool begun() const noexcept { return begun_; }

    // Of the answer's head; 0 before.
    int status() const noexcept { return status_; }

    // Writes `comment` after each period of silence; it begins the stream if need be.
    void keep_alive(std::string comment, HttpReply head);

    // The connection ends after this answer.
    void close_after() { parts_.keep_alive = false; }

    bool keeps_alive() const noexcept { return parts_.keep_alive; }

    // ---- Interruption ----
    // Called at most once: now if it has happened already, else while the handler waits for
    // something. What the callback refers to must be good until the handler returns.
    void on_interrupt(std::function<void(Interrupt)> callback);

    std::optional<Interrupt> interrupted() const noexcept { return interrupted_; }

    void interrupt(Interrupt reason);

private:
    std::string head_text(const HttpReply& reply, std::optional<size_t> length);
    std::string framed(const std::string& part) const;
    void beat();

    Parts parts_;
    Caller caller_;
    bool reading_ = false;  // The body was asked for.
    bool begun_ = false;
    int status_ = 0;
    bool chunked_ = false;
    bool head_only_ = false;  // HEAD: the body is counted, not sent.
    std::string unsent_head_;
    std::string trailers_;
    std::string comment_;
    HttpReply early_head_;
    std::function<void(Interrupt)> callback_;
    std::optional<Interrupt> interrupted_;
};

// What every route's table row and the fallback are.
class HttpHandler {
public:
    virtual ~HttpHandler() = default;
    virtual Task<> handle(HttpExchange& exchange) = 0;
};

}  // namespace rekindle::daemon
