#include "cli/http_client.h"

#include "cli/pass_descriptor.h"

#include <fmt/format.h>

#include <cerrno>
#include <curl/curl.h>
#include <memory>
#include <unistd.h>
#include <utility>

namespace rekindle::cli {

namespace {

constexpr long kConnectTimeoutMs = 10'000;
constexpr int kPollMs = 1000;  // Upper bound only: sockets and Ctrl-C wake the poll.
constexpr long kUploadBufferBytes = 1L << 20;  // curl's 64 KiB default costs calls at 1 GB/s.

struct FreeEasy {
    void operator()(CURL* easy) const noexcept { curl_easy_cleanup(easy); }
};

struct FreeMulti {
    void operator()(CURLM* multi) const noexcept { curl_multi_cleanup(multi); }
};

struct FreeList {
    void operator()(curl_slist* list) const noexcept { curl_slist_free_all(list); }
};

// What the callbacks of one transfer share.
struct Transfer {
    const HttpRequest& request;
    const HttpClient::OnBody& on_body;
    CURL* easy;
    HttpResponse response;
    uint64_t sent = 0;
    curl_socket_t socket = CURL_SOCKET_BAD;  // Owned by curl.
    std::optional<Error> failure;            // Set by a callback that stopped the transfer.
};

size_t receive(char* data, size_t /*one*/, size_t bytes, void* user) {
    auto& transfer = *static_cast<Transfer*>(user);
    curl_easy_getinfo(transfer.easy, CURLINFO_RESPONSE_CODE, &transfer.response.status);
    const std::string_view text(data, bytes);
    if (transfer.on_body && !transfer.response.failed()) {
        auto taken = transfer.on_body(text);
        if (!taken) {
            transfer.failure = std::move(taken).error();
            return CURL_WRITEFUNC_ERROR;
        }
        return bytes;
    }
    if (transfer.response.body.size() + bytes > HttpClient::kBodyBytesMax) {
        transfer.failure = Error{
            ErrorCode::kTooLarge,
            fmt::format("the daemon's answer is longer than {} bytes", HttpClient::kBodyBytesMax)};
        return CURL_WRITEFUNC_ERROR;
    }
    transfer.response.body.append(text);
    return bytes;
}

size_t read_file(char* out, size_t /*one*/, size_t room, void* user) {
    auto& transfer = *static_cast<Transfer*>(user);
    const FileBody& file = *transfer.request.file;
    if (transfer.sent < file.text.size()) {
        const size_t copied = file.text.copy(out, room, static_cast<size_t>(transfer.sent));
        transfer.sent += copied;
        return copied;
    }
    const uint64_t at = transfer.sent - file.text.size();
    const ssize_t got = pread(file.fd, out, room, static_cast<off_t>(at));
    if (got < 0) {
        transfer.failure = errno_error("read the model file", errno);
        return CURL_READFUNC_ABORT;
    }
    if (got == 0 && at < file.bytes) {
        transfer.failure = Error{ErrorCode::kTruncated,
                                 fmt::format("the model file shrank from {} to {} bytes while it "
                                             "was sent",
                                             file.bytes, at)};
        return CURL_READFUNC_ABORT;
    }
    transfer.sent += static_cast<uint64_t>(got);
    if (file.on_sent) {
        file.on_sent(at + static_cast<uint64_t>(got));
    }
    return static_cast<size_t>(got);
}

// curl connects the socket; it is kept for the byte that goes before the request.
curl_socket_t open_socket(void* user, curlsocktype /*purpose*/, curl_sockaddr* address) {
    auto& transfer = *static_cast<Transfer*>(user);
    transfer.socket = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    return transfer.socket;
}

int pass_before_request(void* user, char* /*server*/, char* /*client*/, int /*server_port*/,
                        int /*client_port*/) {
    auto& transfer = *static_cast<Transfer*>(user);
    auto passed = send_with_descriptor(transfer.socket, transfer.request.method.front(),
                                       transfer.request.descriptor);
    if (!passed) {
        transfer.failure = std::move(passed).error();
        return CURL_PREREQFUNC_ABORT;
    }
    return CURL_PREREQFUNC_OK;
}

void set_body(CURL* easy, const HttpRequest& request, Transfer& transfer) {
    if (request.file) {
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                         static_cast<curl_off_t>(request.file->text.size() + request.file->bytes));
        curl_easy_setopt(easy, CURLOPT_READFUNCTION, read_file);
        curl_easy_setopt(easy, CURLOPT_READDATA, &transfer);
        curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, kUploadBufferBytes);
    } else if (request.json || request.method == "POST") {
        const std::string_view body = request.json ? std::string_view(*request.json) : "";
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
        curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, body.data());
    }
}

void set_route(CURL* easy, const Endpoint& endpoint, Transfer& transfer) {
    const HttpRequest& request = transfer.request;
    const std::string url = endpoint.base_url + request.target;
    curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
    // A proxy of the environment cannot reach this machine's loopback.
    if (endpoint.same_host) {
        curl_easy_setopt(easy, CURLOPT_PROXY, "");
    }
    if (!endpoint.unix_socket.empty()) {
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, endpoint.unix_socket.c_str());
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
    if (request.descriptor >= 0) {
        // The descriptor rides on the request's first byte, which we send ourselves when the
        // connection stands; curl writes the rest of the method and everything after it.
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str() + 1);
        curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
        curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, &transfer);
        curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, pass_before_request);
        curl_easy_setopt(easy, CURLOPT_PREREQDATA, &transfer);
    }
}

std::unique_ptr<curl_slist, FreeList> headers_of(const HttpRequest& request,
                                                 const std::string& key) {
    curl_slist* list = nullptr;
    list = curl_slist_append(list, request.file ? "Content-Type: application/octet-stream"
                                                : "Content-Type: application/json");
    // A daemon that refuses answers at once; waiting for "100 Continue" would only cost time.
    list = curl_slist_append(list, "Expect:");
    if (!key.empty()) {
        list = curl_slist_append(list, ("Authorization: Bearer " + key).c_str());
    }
    if (request.descriptor >= 0) {
        list = curl_slist_append(list, "X-Rekindle-Descriptor: 1");
    }
    for (const std::string& field : request.fields) {
        list = curl_slist_append(list, field.c_str());
    }
    return std::unique_ptr<curl_slist, FreeList>(list);
}

Error error_of_transfer(const Endpoint& endpoint, CURLcode code, const char* detail) {
    if (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST) {
        return Error{ErrorCode::kUnavailable,
                     fmt::format("no daemon answers at {}: start one with `rekindled --data-dir "
                                 "DIR`, or set --url",
                                 endpoint.shown)};
    }
    return Error{ErrorCode::kIo,
                 fmt::format("the connection to {} broke before the answer was complete: {}",
                             endpoint.shown, *detail != 0 ? detail : curl_easy_strerror(code))};
}

// Runs the transfer to its end; kCancelled when Ctrl-C came first.
Result<CURLcode> drive(CURLM* multi, Interrupts* interrupts) {
    int running = 1;
    while (true) {
        if (const CURLMcode code = curl_multi_perform(multi, &running); code != CURLM_OK) {
            return Error{ErrorCode::kInternal, curl_multi_strerror(code)};
        }
        if (running == 0) {
            break;
        }
        curl_waitfd extra{interrupts != nullptr ? interrupts->fd() : -1, CURL_WAIT_POLLIN, 0};
        const unsigned extra_count = interrupts != nullptr ? 1 : 0;
        if (const CURLMcode code = curl_multi_poll(multi, &extra, extra_count, kPollMs, nullptr);
            code != CURLM_OK) {
            return Error{ErrorCode::kInternal, curl_multi_strerror(code)};
        }
        if (interrupts != nullptr && interrupts->take()) {
            return Error{ErrorCode::kCancelled, "interrupted"};
        }
    }
    int left = 0;
    const CURLMsg* message = curl_multi_info_read(multi, &left);
    return message != nullptr ? message->data.result : CURLE_OK;
}

}  // namespace

Result<HttpResponse> HttpClient::send(const HttpRequest& request, const OnBody& on_body) {
    REKINDLE_CHECK(request.descriptor < 0 || !endpoint_.unix_socket.empty(),
                   "descriptors travel over Unix sockets alone");
    const std::unique_ptr<CURL, FreeEasy> easy(curl_easy_init());
    const std::unique_ptr<CURLM, FreeMulti> multi(curl_multi_init());
    const auto headers = headers_of(request, endpoint_.key);
    Transfer transfer{request, on_body, easy.get(), {}, 0, CURL_SOCKET_BAD, std::nullopt};
    char detail[CURL_ERROR_SIZE] = {};
    set_route(easy.get(), endpoint_, transfer);
    curl_easy_setopt(easy.get(), CURLOPT_HTTPHEADER, headers.get());
    curl_easy_setopt(easy.get(), CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
    curl_easy_setopt(easy.get(), CURLOPT_ERRORBUFFER, detail);
    // Leaves SIGPIPE alone: it ends us when the reader of stdout leaves; curl's own writes never
    // raise it.
    curl_easy_setopt(easy.get(), CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy.get(), CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(easy.get(), CURLOPT_WRITEDATA, &transfer);
    set_body(easy.get(), request, transfer);

    curl_multi_add_handle(multi.get(), easy.get());
    const auto code = drive(multi.get(), interrupts_);
    curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &transfer.response.status);
    curl_multi_remove_handle(multi.get(), easy.get());
    if (!code) {
        return code.error();
    }
    if (transfer.failure) {
        return *std::move(transfer.failure);
    }
    if (*code != CURLE_OK) {
        return error_of_transfer(endpoint_, *code, detail);
    }
    return std::move(transfer.response);
}

std::string url_encode(std::string_view text) {
    char* escaped = curl_easy_escape(nullptr, text.data(), static_cast<int>(text.size()));
    std::string out(escaped != nullptr ? escaped : "");
    curl_free(escaped);
    return out;
}

}  // namespace rekindle::cli
