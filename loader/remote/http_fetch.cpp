#include "loader/remote/http_fetch.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>
#include <utility>

namespace rekindle::remote {
namespace {

constexpr int kRangeNotSatisfiable = 416;

bool is_redirect(int status) noexcept {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// Refusals that another try may not meet.
bool is_temporary(int status) noexcept {
    return status == 408 || status == 429 || status == 500 || (status >= 502 && status <= 504);
}

bool is_temporary(ErrorCode code) noexcept {
    return code == ErrorCode::kIo || code == ErrorCode::kTruncated || code == ErrorCode::kDeadline;
}

bool is_strong(const std::string& etag) noexcept {
    return etag.size() > 2 && etag.starts_with('"');
}

// Stands between the client and an object's sink.
class Relay final : public BodySink {
public:
    Relay(HttpFetcher::Order& order, ObjectSink& sink) : order_(order), sink_(sink) {}

    Result<void> begin(const HttpAnswer& head) override {
        const bool goes_on = head.status == 206;
        if (goes_on && head.range_start != order_.part.bytes) {
            return refuse(Error{ErrorCode::kCorrupt,
                                fmt::format("{}: the server answers with other bytes than were "
                                            "asked for",
                                            order_.url.shown())});
        }
        if (!goes_on) {
            order_.part = {.bytes = 0, .etag = is_strong(head.etag) ? head.etag : ""};
        }
        auto total = goes_on ? head.range_total : head.length;
        if (goes_on && !total && head.length) {
            total = order_.part.bytes + *head.length;
        }
        if (total && *total > order_.bytes_max) {
            return refuse(Error{ErrorCode::kTooLarge,
                                fmt::format("{}: {} bytes, the limit is {}", order_.url.shown(),
                                            *total, order_.bytes_max)});
        }
        return keep(sink_.begin(order_.part.bytes, total));
    }

    Result<void> take(std::span<const std::byte> bytes) override {
        if (bytes.size() > order_.bytes_max - order_.part.bytes) {
            return refuse(
                Error{ErrorCode::kTooLarge, fmt::format("{}: longer than the limit of {} bytes",
                                                        order_.url.shown(), order_.bytes_max)});
        }
        auto taken = keep(sink_.take(bytes));
        if (taken) {
            order_.part.bytes += bytes.size();
        }
        return taken;
    }

    // The sink itself failed, or what was sent can't be right: another try would not help.
    bool final_error() const noexcept { return final_; }

private:
    Result<void> keep(Result<void> result) {
        final_ = final_ || !result;
        return result;
    }

    Error refuse(Error error) {
        final_ = true;
        return error;
    }

    HttpFetcher::Order& order_;
    ObjectSink& sink_;
    bool final_ = false;
};

class NoBody final : public BodySink {
public:
    Result<void> begin(const HttpAnswer& /*head*/) override { return {}; }

    Result<void> take(std::span<const std::byte> /*bytes*/) override { return {}; }
};

// What can't be gone on with is forgotten.
HttpCall call_for(HttpFetcher::Order& order) {
    HttpCall call{.url = order.url, .body_bytes_max = order.bytes_max};
    if (order.part.etag.empty()) {
        order.part.bytes = 0;
    }
    if (order.part.bytes > 0) {
        call.fields.emplace_back("Range", fmt::format("bytes={}-", order.part.bytes));
        call.fields.emplace_back("If-Range", order.part.etag);
    }
    return call;
}

}  // namespace

Error refusal(const HttpAnswer& answer, const Url& url, std::string_view hint) {
    const std::string what = fmt::format("{}: {}", url.shown(), answer.status);
    const std::string said =
        answer.excerpt.empty() ? "" : " (" + answer.excerpt.substr(0, 200) + ")";
    const std::string advice = hint.empty() ? "" : fmt::format(": {}", hint);
    if (answer.status == 404 || answer.status == 410) {
        return Error{ErrorCode::kNotFound,
                     fmt::format("{}: there is no such object: check the address", what)};
    }
    if (answer.status == 401 || answer.status == 403) {
        return Error{ErrorCode::kForbidden,
                     fmt::format("{}: access is refused{}{}", what, advice, said)};
    }
    if (answer.status == 429) {
        return Error{ErrorCode::kUnavailable,
                     fmt::format("{}: too many requests: try again later", what)};
    }
    if (answer.status >= 500 || answer.status == 408) {
        return Error{ErrorCode::kUnavailable,
                     fmt::format("{}: the server fails: try again later{}", what, said)};
    }
    return Error{ErrorCode::kConflict,
                 fmt::format("{}: the server refuses{}{}", what, advice, said)};
}

Result<HttpFetcher> HttpFetcher::create(FetchLimits limits, Cancelled cancelled) {
    auto client = HttpClient::create(limits.http, cancelled);
    if (!client) {
        return std::move(client).error();
    }
    return HttpFetcher(std::move(client).value(), limits, std::move(cancelled));
}

Result<HttpAnswer> HttpFetcher::send_following(HttpCall call, const Credentials& credentials,
                                               BodySink& sink) {
    const Url first = call.url;
    const std::vector<HttpField> own_fields = call.fields;
    for (uint32_t redirects = 0;; ++redirects) {
        call.fields = own_fields;
        if (credentials && call.url.same_origin(first)) {
            for (HttpField& field : credentials(call)) {
                call.fields.push_back(std::move(field));
            }
        }
        auto answer = client_->send(call, sink);
        const bool followed = call.method == "GET" || call.method == "HEAD";
        if (!answer || !followed || !is_redirect(answer->status) || answer->location.empty()) {
            return answer;
        }
        if (redirects == kRedirectsMax) {
            return Error{ErrorCode::kConflict,
                         fmt::format("{}: more than {} redirects", first.shown(), kRedirectsMax)};
        }
        auto next = resolve_redirect(call.url, answer->location);
        if (!next) {
            return std::move(next).error();
        }
        call.url = std::move(next).value();
    }
}

Result<void> HttpFetcher::pause(uint32_t failures, const HttpAnswer* answer, const Error& last) {
    constexpr std::chrono::milliseconds kStep{50};  // How late a cancellation may be noticed.
    if (failures >= limits_.retry.tries_max) {
        return failures == 1
                   ? last
                   : Error{last.code, fmt::format("{} ({} tries)", last.message, failures)};
    }
    auto wait = limits_.retry.pause_first;
    for (uint32_t i = 1; i < failures && wait < limits_.retry.pause_max; ++i) {
        wait *= 2;
    }
    if (answer != nullptr && answer->retry_after) {
        wait = std::max<std::chrono::milliseconds>(wait, *answer->retry_after);
    }
    wait = std::min(wait, limits_.retry.pause_max);
    while (wait.count() > 0) {
        if (cancelled_ && cancelled_()) {
            return Error{ErrorCode::kCancelled, "the transfer was cancelled"};
        }
        const auto step = std::min(wait, kStep);
        std::this_thread::sleep_for(step);
        wait -= step;
    }
    return {};
}

Result<void> HttpFetcher::fetch(Order& order, ObjectSink& sink) {
    for (uint32_t failures = 0;;) {
        Relay relay(order, sink);
        HttpCall call = call_for(order);
        const uint64_t before = order.part.bytes;
        auto answer = send_following(std::move(call), order.credentials, relay);
        if (answer && answer->good()) {
            return {};
        }
        if (answer && answer->status == kRangeNotSatisfiable && before > 0) {
            order.part = {};  // It has changed, or became shorter: from the beginning.
            continue;
        }
        Error error = answer ? refusal(*answer, order.url, order.hint) : answer.error();
        const bool again = answer ? is_temporary(answer->status)
                                  : is_temporary(error.code) && !relay.final_error();
        if (!again) {
            return error;
        }
        failures = order.part.bytes > before ? 1 : failures + 1;
        auto paused = pause(failures, answer ? &*answer : nullptr, error);
        if (!paused) {
            return paused;
        }
    }
}

Result<int> HttpFetcher::send(const HttpCall& call, const Credentials& credentials,
                              std::string_view hint) {
    constexpr int kNotFoundStatus = 404;
    for (uint32_t failures = 0;;) {
        NoBody none;
        auto answer = send_following(call, credentials, none);
        if (answer && (answer->good() || answer->status == kNotFoundStatus)) {
            return answer->status;
        }
        Error error = answer ? refusal(*answer, call.url, hint) : answer.error();
        const bool again = answer ? is_temporary(answer->status) : is_temporary(error.code);
        if (!again) {
            return error;
        }
        auto paused = pause(++failures, answer ? &*answer : nullptr, error);
        if (!paused) {
            return std::move(paused).error();
        }
    }
}

}  // namespace rekindle::remote
