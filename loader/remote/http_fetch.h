// Whole objects over connections that break: tries again where that helps, goes on where the last
// try ended (Range, guarded by the object's ETag), follows redirects. Invariant: what a sink was
// given since its last restart() is a beginning of one and the same object. Threading: one thread
// at a time.
#pragma once
#include "base/result.h"
#include "loader/remote/http_client.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace rekindle::remote {

inline constexpr uint32_t kRedirectsMax = 5;

struct RetryRules {
    uint32_t tries_max = 5;                      // In a row that bring no byte.
    std::chrono::milliseconds pause_first{250};  // Doubled each time.
    std::chrono::milliseconds pause_max{15'000};
};

// Fields for one request, made anew for each try because signatures age. Only asked for the origin
// that was called first: no credential follows a redirect elsewhere.
using Credentials = std::function<std::vector<HttpField>(const HttpCall& call)>;

struct FetchLimits {
    HttpLimits http;
    RetryRules retry;
};

// An object that arrives.
class ObjectSink {
public:
    virtual ~ObjectSink() = default;
    // The object's length where the server tells it, and where the next bytes belong: at what is
    // here already, or at 0, and then everything here is to be forgotten.
    virtual Result<void> begin(uint64_t from, std::optional<uint64_t> total) = 0;
    virtual Result<void> take(std::span<const std::byte> bytes) = 0;
};

// What is here of an object before fetching it.
struct Part {
    uint64_t bytes = 0;
    std::string etag;  // Strong; empty: it can't be gone on with.
};

class HttpFetcher {
public:
    static Result<HttpFetcher> create(FetchLimits limits, Cancelled cancelled);

    struct Order {
        Url url;
        uint64_t bytes_max = 0;
        Credentials credentials;  // Empty: none.
        std::string hint;         // What to do when access is refused.
        Part part;
    };

    // The whole object. kNotFound, kForbidden, kUnavailable (5xx to the end of patience), and the
    // client's; messages name the address without its query. `part` of the order is kept up to
    // date.
    Result<void> fetch(Order& order, ObjectSink& sink);
    // One request whose answer has no body that matters (HEAD, PUT, DELETE), with tries; gives the
    // status when it is good or 404, kForbidden and so on when not.
    Result<int> send(const HttpCall& call, const Credentials& credentials, std::string_view hint);

private:
    HttpFetcher(std::unique_ptr<HttpClient> client, FetchLimits limits, Cancelled cancelled)
        : client_(std::move(client)), limits_(limits), cancelled_(std::move(cancelled)) {}

    // Follows redirects.
    Result<HttpAnswer> send_following(HttpCall call, const Credentials& credentials,
                                      BodySink& sink);
    // Pauses before the next try; kCancelled, or `last` when there is none.
    Result<void> pause(uint32_t failures, const HttpAnswer* answer, const Error& last);

    std::unique_ptr<HttpClient> client_;
    FetchLimits limits_;
    Cancelled cancelled_;
};

// An answer that is no success, as an error with what to do.
Error refusal(const HttpAnswer& answer, const Url& url, std::string_view hint);

}  // namespace rekindle::remote
