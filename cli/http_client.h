// One blocking HTTP request after the other to the daemon, over TCP or its Unix socket, by libcurl.
// Answers with status < 300 can be taken while they arrive; all others are collected whole.
// Invariant: each request has its own connection, which is closed when send() returns; leaving a
// stream early is therefore the disconnect that the daemon counts. Threading: one thread.
#pragma once
#include "base/result.h"
#include "cli/endpoint.h"
#include "cli/interrupts.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rekindle::cli {

// A model file as the body of a request, after some text.
struct FileBody {
    std::string text;
    int fd = -1;  // Read from offset 0; owned by the caller.
    uint64_t bytes = 0;
    std::function<void(uint64_t sent)> on_sent;  // Of the file.
};

struct HttpRequest {
    std::string method = "GET";
    std::string target;               // "/admin/v1/usage?by=model"
    std::optional<std::string> json;  // Body.
    std::optional<FileBody> file;     // Body instead of `json`.
    std::vector<std::string> fields;  // Further header lines: "X-Name: value".
    int descriptor = -1;              // Passed with the request's first byte (Unix socket only).
};

struct HttpResponse {
    long status = 0;
    std::string body;  // Empty when an OnBody took it.

    bool failed() const noexcept { return status >= 300; }
};

class HttpClient {
public:
    // Limit of an answer that is collected whole.
    static constexpr uint64_t kBodyBytesMax = 64ULL << 20;

    // Bytes of a good answer as they arrive; an error ends the transfer and is send()'s result.
    using OnBody = std::function<Result<void>(std::string_view bytes)>;

    // `interrupts` may be null; it must outlive the client.
    HttpClient(Endpoint endpoint, Interrupts* interrupts)
        : endpoint_(std::move(endpoint)), interrupts_(interrupts) {}

    // kUnavailable: nobody answers there. kCancelled: Ctrl-C. kIo: the connection broke. An HTTP
    // error status is a success here.
    Result<HttpResponse> send(const HttpRequest& request) { return send(request, nullptr); }

    Result<HttpResponse> send(const HttpRequest& request, const OnBody& on_body);

    const Endpoint& endpoint() const noexcept { return endpoint_; }

    Interrupts* interrupts() const noexcept { return interrupts_; }

private:
    Endpoint endpoint_;
    Interrupts* interrupts_;
};

// Percent-encodes a value for a query or path.
std::string url_encode(std::string_view text);

}  // namespace rekindle::cli
