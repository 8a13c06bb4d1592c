#include "daemon/http_parser.h"

#include <boost/beast/http/basic_parser.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace rekindle::daemon {
namespace {

namespace http = boost::beast::http;
using BeastError = boost::beast::error_code;
using BeastView = boost::beast::string_view;

constexpr int kHttp11 = 11;

std::string_view view_of(BeastView text) noexcept {
    return {text.data(), text.size()};
}

ApiError bad_request(std::string message) {
    return http_error(400, "bad_request", std::move(message));
}

bool all_digits(std::string_view text) noexcept {
    return !text.empty() &&
           std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

size_t count_fields(const HttpRequest& request, std::string_view name) {
    return static_cast<size_t>(std::count_if(request.fields.begin(), request.fields.end(),
                                             [name](const auto& f) { return f.name == name; }));
}

// Beast follows RFC 9112 where that is lenient; a server of money is not.
std::optional<ApiError> check_framing(const HttpRequest& request) {
    const size_t lengths = count_fields(request, "content-length");
    const size_t encodings = count_fields(request, "transfer-encoding");
    if (lengths > 1) {
        return bad_request("Content-Length stands more than once");
    }
    if (lengths == 1 && !all_digits(*request.field("content-length"))) {
        return bad_request("Content-Length is not a decimal number");
    }
    if (encodings == 0) {
        return std::nullopt;
    }
    if (lengths > 0) {
        return bad_request("Transfer-Encoding and Content-Length stand together");
    }
    if (!request.http11) {
        return bad_request("Transfer-Encoding stands in an HTTP/1.0 request");
    }
    if (encodings > 1 || !equal_ignoring_case(*request.field("transfer-encoding"), "chunked")) {
        return bad_request("Transfer-Encoding is not exactly \"chunked\"");
    }
    return std::nullopt;
}

// Continuation lines were removed from HTTP because readers disagree about them.
bool has_folded_line(std::string_view head) noexcept {
    return head.find("\r\n ") != std::string_view::npos ||
           head.find("\r\n\t") != std::string_view::npos;
}

// "/a//b/?q" to path "/a/b" and query "q". Nothing when it is not a path.
bool split_target(std::string_view target, HttpRequest& request) {
    if (target == "*") {
        request.path = "*";
        return true;
    }
    if (target.starts_with("http://")) {  // RFC 9112 3.2.2: servers accept the absolute form.
        target.remove_prefix(std::string_view("http://").size());
        target.remove_prefix(std::min(target.find_first_of("/?"), target.size()));
    } else if (!target.starts_with('/')) {
        return false;
    }
    const size_t mark = std::min(target.find('?'), target.size());
    request.query = std::string(target.substr(std::min(mark + 1, target.size())));
    const auto path = percent_decode(target.substr(0, mark), /*plus_is_space=*/false);
    if (!path) {
        return false;
    }
    request.path = "/";
    for (const char c : *path) {
        if (c != '/' || request.path.back() != '/') {
            request.path += c;
        }
    }
    if (request.path.size() > 1 && request.path.back() == '/') {
        request.path.pop_back();
    }
    return true;
}

}  // namespace

size_t HeadFinder::find(std::string_view bytes) {
    for (; seen_ < bytes.size(); ++seen_) {
        if (bytes[seen_] == '\0') {
            broken_ = true;
            return 0;
        }
        if (bytes[seen_] != '\n') {
            continue;
        }
        if (seen_ == 0 || bytes[seen_ - 1] != '\r') {
            broken_ = true;
            return 0;
        }
        if (seen_ >= 3 && bytes[seen_ - 2] == '\n') {
            return ++seen_;
        }
    }
    return 0;
}

class HttpParser::Impl final : public http::basic_parser<true> {
public:
    explicit Impl(size_t fields_max) : fields_max_(fields_max) {
        // Our own limits: heads are bounded before they come here, bodies by each route.
        header_limit(UINT32_MAX);
        body_limit(boost::none);
    }

    HttpRequest request;
    std::string target;
    std::string* body = nullptr;
    bool too_many_fields = false;

private:
    void on_request_impl(http::verb /*method*/, BeastView method, BeastView path, int version,
                         BeastError& /*ec*/) override {
        request.method = view_of(method);
        target = view_of(path);
        request.http11 = version == kHttp11;
    }

    void on_response_impl(int /*code*/, BeastView /*reason*/, int /*version*/,
                          BeastError& ec) override {
        ec = http::error::bad_method;
    }

    void on_field_impl(http::field /*f*/, BeastView name, BeastView value,
                       BeastError& ec) override {
        if (head_done_) {
            return;  // Trailers say nothing that we would believe.
        }
        if (request.fields.size() == fields_max_) {
            too_many_fields = true;
            ec = http::error::header_limit;
            return;
        }
        request.fields.push_back(
            HttpField{ascii_lower(view_of(name)), std::string(view_of(value))});
    }

    void on_header_impl(BeastError& /*ec*/) override { head_done_ = true; }

    void on_body_init_impl(const boost::optional<uint64_t>& /*length*/,
                           BeastError& /*ec*/) override {}

    size_t on_body_impl(BeastView bytes, BeastError& /*ec*/) override {
        body->append(view_of(bytes));
        return bytes.size();
    }

    void on_chunk_header_impl(uint64_t /*size*/, BeastView /*extensions*/,
                              BeastError& /*ec*/) override {}

    size_t on_chunk_body_impl(uint64_t /*remain*/, BeastView bytes, BeastError& /*ec*/) override {
        body->append(view_of(bytes));
        return bytes.size();
    }

    void on_finish_impl(BeastError& /*ec*/) override {}

    const size_t fields_max_;
    bool head_done_ = false;
};

HttpParser::HttpParser(const HttpLimits& limits) : impl_(std::make_unique<Impl>(limits.fields)) {}

HttpParser::~HttpParser() = default;

const HttpRequest& HttpParser::request() const noexcept {
    return impl_->request;
}

bool HttpParser::body_done() const noexcept {
    return impl_->is_done();
}

std::optional<ApiError> HttpParser::parse_head(std::string_view head) {
    HttpRequest& request = impl_->request;
    if (has_folded_line(head)) {
        return bad_request("a header field is continued on the next line");
    }
    BeastError ec;
    const size_t consumed = impl_->put({head.data(), head.size()}, ec);
    if (impl_->too_many_fields) {
        return http_error(431, "too_many_fields", "the request has too many header fields");
    }
    if (ec == http::error::bad_version) {
        return http_error(505, "bad_version", "this server speaks HTTP/1.0 and HTTP/1.1");
    }
    const auto framing = check_framing(request);
    if (framing) {
        return framing;
    }
    if (ec || consumed != head.size() || !impl_->is_header_done()) {
        return bad_request(fmt::format("the request's head is malformed: {}", ec.message()));
    }
    if (request.http11 && count_fields(request, "host") != 1) {
        return bad_request("an HTTP/1.1 request has exactly one Host field");
    }
    if (!split_target(impl_->target, request)) {
        return bad_request("the request's target is not a path");
    }
    request.keep_alive = impl_->keep_alive();
    request.chunked = impl_->chunked();
    request.content_length = impl_->content_length().value_or(0);
    const auto expect = request.field("expect");
    if (expect && !equal_ignoring_case(*expect, "100-continue")) {
        return http_error(417, "expectation_failed", "the only expectation is 100-continue");
    }
    request.expects_continue = expect.has_value() && request.http11;
    return std::nullopt;
}

std::optional<size_t> HttpParser::feed(std::string_view bytes, std::string& body) {
    impl_->body = &body;
    size_t consumed = 0;
    while (!impl_->is_done() && consumed < bytes.size()) {
        const std::string_view rest = bytes.substr(consumed);
        BeastError ec;
        consumed += impl_->put({rest.data(), rest.size()}, ec);
        if (ec == http::error::need_more) {
            break;
        }
        if (ec) {
            return std::nullopt;
        }
    }
    return consumed;
}

}  // namespace rekindle::daemon
