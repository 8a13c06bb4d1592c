#include "loader/remote/http_client.h"

#include "base/hash.h"
#include "loader/remote/http_fetch.h"
#include "tests/remote/fault_server.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <atomic>
#include <string>

using namespace rekindle;          // NOLINT(google-build-using-namespace): a test.
using namespace rekindle::remote;  // NOLINT(google-build-using-namespace): a test.
using test::answer;
using test::FaultServer;
using test::Script;
using test::SeenRequest;

namespace {

constexpr std::chrono::milliseconds kShort{50};

FetchLimits quick() {
    return {.http = {.silence_max = std::chrono::seconds(20)},
            .retry = {.tries_max = 3,
                      .pause_first = std::chrono::milliseconds(1),
                      .pause_max = std::chrono::milliseconds(2)}};
}

class TextSink final : public ObjectSink {
public:
    Result<void> begin(uint64_t from, std::optional<uint64_t> total) override {
        text.resize(from);
        begun.push_back(from);
        announced = total;
        return {};
    }

    Result<void> take(std::span<const std::byte> bytes) override {
        text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        return {};
    }

    std::string text;
    std::vector<uint64_t> begun;
    std::optional<uint64_t> announced;
};

struct Fetched {
    Result<void> result;
    TextSink sink;
};

Fetched fetch(const FaultServer& server, const std::string& path, FetchLimits limits) {
    auto fetcher = HttpFetcher::create(limits, nullptr).value();
    HttpFetcher::Order order{.url = parse_url(server.url() + path).value(), .bytes_max = 1 << 20};
    TextSink sink;
    auto result = fetcher.fetch(order, sink);
    return {std::move(result), std::move(sink)};
}

Fetched fetch(const FaultServer& server, const std::string& path) {
    return fetch(server, path, quick());
}

// Serves `object` with ranges and an ETag, cut after each `cut` bytes.
Script cut_object(const SeenRequest& request, const std::string& object, size_t cut) {
    size_t from = 0;
    if (const auto range = request.fields.find("range"); range != request.fields.end()) {
        from = std::stoul(range->second.substr(6));
    }
    const std::string rest = object.substr(from);
    Script script = answer(from == 0 ? 200 : 206, rest,
                           fmt::format("ETag: \"v1\"\r\nContent-Range: bytes {}-{}/{}\r\n", from,
                                       object.size() - 1, object.size()));
    if (rest.size() > cut) {
        script.bytes.resize(script.bytes.size() - rest.size() + cut);
        script.close = true;
    }
    return script;
}

}  // namespace

TEST_CASE("an object comes whole, and the connection is kept for the next") {
    const FaultServer server([](const SeenRequest&) { return answer(200, "hello"); });
    auto fetcher = HttpFetcher::create(quick(), nullptr).value();
    for (int i = 0; i < 3; ++i) {
        HttpFetcher::Order order{.url = parse_url(server.url() + "/a?b=c").value(), .bytes_max = 5};
        TextSink sink;
        REQUIRE(fetcher.fetch(order, sink).ok());
        CHECK(sink.text == "hello");
        CHECK(sink.announced == 5);
    }
    CHECK(server.connections() == 1);
    CHECK(server.seen().front().target == "/a?b=c");
    CHECK(server.seen().front().fields.at("host") == fmt::format("127.0.0.1:{}", server.port()));
}

TEST_CASE("chunked answers are taken, answers without a length are not") {
    const FaultServer server([](const SeenRequest& request) {
        return request.target == "/chunked"
                   ? Script{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                            "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"}
                   : Script{.bytes = "HTTP/1.1 200 OK\r\n\r\nabc", .close = true};
    });
    CHECK(fetch(server, "/chunked").sink.text == "abcde");
    const auto refused = fetch(server, "/endless").result;
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == ErrorCode::kUnsupported);
}

TEST_CASE("a kept connection that the server closed is no fault") {
    const FaultServer server([](const SeenRequest&) {
        Script script = answer(200, "x");
        script.close = true;
        return script;
    });
    FetchLimits once = quick();
    once.retry.tries_max = 1;
    auto fetcher = HttpFetcher::create(once, nullptr).value();
    for (int i = 0; i < 3; ++i) {
        HttpFetcher::Order order{.url = parse_url(server.url()).value(), .bytes_max = 5};
        TextSink sink;
        CHECK(fetcher.fetch(order, sink).ok());
    }
}

TEST_CASE("a transfer that is cut goes on where it was cut") {
    const std::string object(100'000, 'o');
    const FaultServer server(
        [&](const SeenRequest& request) { return cut_object(request, object, 30'000); });
    const auto fetched = fetch(server, "/o");
    REQUIRE(fetched.result.ok());
    CHECK(fetched.sink.text == object);
    CHECK(fetched.sink.begun == std::vector<uint64_t>{0, 30'000, 60'000, 90'000});
    CHECK(server.seen()[1].fields.at("if-range") == "\"v1\"");
}

TEST_CASE("an object that changed meanwhile begins anew") {
    std::atomic<int> calls{0};
    const FaultServer server([&](const SeenRequest& request) {
        if (calls++ == 0) {
            return cut_object(request, "old old old", 4);
        }
        return answer(200, "new", "ETag: \"v2\"\r\n");
    });
    const auto fetched = fetch(server, "/o");
    REQUIRE(fetched.result.ok());
    CHECK(fetched.sink.text == "new");
}

TEST_CASE("without an ETag a cut transfer begins anew") {
    std::atomic<int> calls{0};
    const FaultServer server([&](const SeenRequest&) {
        Script script = answer(200, "abcdef");
        if (calls++ == 0) {
            script.bytes.resize(script.bytes.size() - 3);
            script.close = true;
        }
        return script;
    });
    CHECK(fetch(server, "/o").sink.text == "abcdef");
    CHECK(server.seen()[1].fields.count("range") == 0);
}

TEST_CASE("a server that answers with another range is not believed") {
    const FaultServer server([](const SeenRequest& request) {
        return request.fields.count("range") == 0
                   ? cut_object(request, "abcdef", 3)
                   : answer(206, "abc", "Content-Range: bytes 0-2/6\r\n");
    });
    const auto fetched = fetch(server, "/o");
    REQUIRE_FALSE(fetched.result.ok());
    CHECK(fetched.result.error().code == ErrorCode::kCorrupt);
}

TEST_CASE("refusals say what to do, and only temporary ones are tried again") {
    std::atomic<int> status{404};
    const FaultServer server([&](const SeenRequest&) {
        return answer(status, "<Code>Why</Code>", "Retry-After: 0\r\n");
    });
    const auto refuse = [&](int code) {
        status = code;
        const size_t before = server.seen().size();
        auto fetched = fetch(server, "/o?secret=1");
        REQUIRE_FALSE(fetched.result.ok());
        CHECK(fetched.result.error().message.find("secret") == std::string::npos);
        return std::pair(fetched.result.error().code, server.seen().size() - before);
    };
    CHECK(refuse(404) == std::pair(ErrorCode::kNotFound, size_t{1}));
    CHECK(refuse(403) == std::pair(ErrorCode::kForbidden, size_t{1}));
    CHECK(refuse(400) == std::pair(ErrorCode::kConflict, size_t{1}));
    CHECK(refuse(500) == std::pair(ErrorCode::kUnavailable, size_t{3}));
    CHECK(refuse(503) == std::pair(ErrorCode::kUnavailable, size_t{3}));
    CHECK(refuse(429) == std::pair(ErrorCode::kUnavailable, size_t{3}));
}

TEST_CASE("a server that recovers is waited for") {
    std::atomic<int> calls{0};
    const FaultServer server(
        [&](const SeenRequest&) { return calls++ < 2 ? answer(500, "") : answer(200, "at last"); });
    CHECK(fetch(server, "/o").sink.text == "at last");
}

TEST_CASE("garbage, silence, a trickle and nobody are told apart") {
    FetchLimits limits = quick();
    limits.retry.tries_max = 1;
    limits.http.silence_max = kShort;
    const FaultServer server([](const SeenRequest& request) {
        if (request.target == "/garbage") {
            return Script{.bytes = "SSH-2.0-OpenSSH\r\n\r\n", .close = true};
        }
        return request.target == "/silent"
                   ? Script{.silent = true}
                   : Script{.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
                            .silent = true};
    });
    CHECK(fetch(server, "/garbage", limits).result.error().code == ErrorCode::kCorrupt);
    CHECK(fetch(server, "/silent", limits).result.error().code == ErrorCode::kDeadline);
    CHECK(fetch(server, "/stalls", limits).result.error().code == ErrorCode::kDeadline);
    auto fetcher = HttpFetcher::create(limits, nullptr).value();
    HttpFetcher::Order nobody{.url = parse_url("http://127.0.0.1:1/").value(), .bytes_max = 5};
    TextSink sink;
    CHECK(fetcher.fetch(nobody, sink).error().code == ErrorCode::kIo);
}

TEST_CASE("an object at the limit is taken, one byte more is refused before it comes") {
    const FaultServer server([](const SeenRequest& request) {
        return answer(200, std::string(request.target == "/fits" ? 8 : 9, 'x'));
    });
    auto fetcher = HttpFetcher::create(quick(), nullptr).value();
    for (const auto& [path, fits] : {std::pair("/fits", true), std::pair("/more", false)}) {
        HttpFetcher::Order order{.url = parse_url(server.url() + path).value(), .bytes_max = 8};
        TextSink sink;
        const auto result = fetcher.fetch(order, sink);
        CHECK(result.ok() == fits);
        CHECK(sink.text.size() == (fits ? 8 : 0));
    }
}

TEST_CASE("redirects are followed up to a limit, and credentials stay with their host") {
    const FaultServer other([](const SeenRequest&) { return answer(200, "there"); });
    const FaultServer server([&](const SeenRequest& request) {
        const int left = std::stoi(request.target.substr(1));
        return answer(302, "",
                      "Location: " +
                          (left == 0 ? other.url() + "/o" : fmt::format("/{}", left - 1)) + "\r\n");
    });
    const auto follow = [&](uint32_t count) {
        auto fetcher = HttpFetcher::create(quick(), nullptr).value();
        HttpFetcher::Order order{
            .url = parse_url(fmt::format("{}/{}", server.url(), count - 1)).value(),
            .bytes_max = 100,
            .credentials = [](const HttpCall&) {
                return std::vector<HttpField>{{"Authorization", "Bearer secret"}};
            }};
        TextSink sink;
        return fetcher.fetch(order, sink).ok();
    };
    CHECK(follow(kRedirectsMax));
    CHECK_FALSE(follow(kRedirectsMax + 1));
    CHECK(server.seen().front().fields.at("authorization") == "Bearer secret");
    CHECK(other.seen().front().fields.count("authorization") == 0);
}

TEST_CASE("a cancelled transfer ends though the server is silent") {
    std::atomic<bool> asked{false};
    const FaultServer server([&](const SeenRequest&) {
        asked = true;
        return Script{.silent = true};
    });
    auto fetcher = HttpFetcher::create(quick(), [&] { return asked.load(); }).value();
    HttpFetcher::Order order{.url = parse_url(server.url()).value(), .bytes_max = 5};
    TextSink sink;
    CHECK(fetcher.fetch(order, sink).error().code == ErrorCode::kCancelled);
}

TEST_CASE("a body is sent whole") {
    const FaultServer server([](const SeenRequest&) { return answer(200, ""); });
    auto fetcher = HttpFetcher::create(quick(), nullptr).value();
    const std::string body(3'000'000, 'b');
    const HttpCall call{
        .method = "PUT", .url = parse_url(server.url() + "/o").value(), .body = as_bytes(body)};
    CHECK(fetcher.send(call, nullptr, "").value() == 200);
    CHECK(server.seen().front().body == body);
}
