#include "tests/front/front_fixture.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <sys/stat.h>

using namespace rekindle;          // NOLINT(google-build-using-namespace): test file.
using namespace rekindle::daemon;  // NOLINT(google-build-using-namespace): test file.
using std::chrono::milliseconds;

TEST_CASE("a reply has exactly these bytes") {
    FrontFixture front;
    TestClient client = front.client();
    client.send(get_request("/health"));
    const Answer answer = client.read_answer();
    const std::string id = answer.field("x-request-id");
    CHECK(answer.head ==
          "HTTP/1.1 200 OK\r\nDate: Tue, 14 Nov 2023 22:13:20 GMT\r\n"
          "x-request-id: " +
              id + "\r\nContent-Type: application/json\r\nContent-Length: 15\r\n");
    CHECK(id.size() == 36);
    CHECK(id.starts_with("req_"));
    CHECK(answer.body == R"({"status":"ok"})");
}

TEST_CASE("every request has its own id, and a client's sane one is repeated beside it") {
    FrontFixture front;
    TestClient client = front.client();
    client.send("GET /health HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: my-id.1\r\n\r\n");
    const Answer sane = client.read_answer();
    CHECK(sane.field("x-client-request-id") == "my-id.1");
    client.send("GET /health HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: a b\r\n\r\n");
    const Answer odd = client.read_answer();
    CHECK(odd.head.find("x-client-request-id") == std::string::npos);
    CHECK(odd.field("x-request-id") != sane.field("x-request-id"));
}

TEST_CASE("requests sent in one piece are answered one after the other on their connection") {
    FrontFixture front;
    TestClient client = front.client();
    client.send(get_request("/health") + post_request("/v1/chat/completions", kChatBody) + "\r\n" +
                get_request("/v1/models"));
    CHECK(client.read_answer().body == R"({"status":"ok"})");
    CHECK(client.read_answer().json().at("object") == "chat.completion");
    CHECK(client.read_answer().json().at("object") == "list");
}

TEST_CASE("a connection ends when the client asks for it, and after an HTTP/1.0 request") {
    FrontFixture front;
    TestClient asks = front.client();
    asks.send("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    CHECK(asks.read_all().find("Connection: close\r\n") != std::string::npos);
    TestClient old = front.client();
    old.send("GET /health HTTP/1.0\r\n\r\n");
    CHECK(old.read_all().ends_with(R"({"status":"ok"})"));
}

TEST_CASE("paths work with and without /v1 and with doubled slashes") {
    FrontFixture front;
    for (const char* path :
         {"/v1/models", "/models", "/v1//models", "//v1/models/", "/v1/models?x=1"}) {
        CAPTURE(path);
        CHECK(front.get(path).status == 200);
    }
}

TEST_CASE("an unknown path is 404 and an unknown method 405, in OpenAI's form") {
    FrontFixture front;
    const Answer unknown = front.get("/v1/models/load/x");
    CHECK(unknown.status == 404);
    CHECK(unknown.error_code() == "unknown_url");
    const Answer wrong = front.post("/v1/models", "{}");
    CHECK(wrong.status == 405);
    CHECK(wrong.error_code() == "method_not_allowed");
    CHECK(wrong.field("allow") == "GET, HEAD, OPTIONS");
    CHECK(front.get("/v1/chat/completions").status == 405);
}

TEST_CASE("HEAD has GET's head and no body, OPTIONS says what is allowed") {
    FrontFixture front;
    TestClient client = front.client();
    client.send("HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK(client.read_head().field("content-length") == "15");
    client.send("OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n\r\n");
    const Answer options = client.read_answer();
    CHECK(options.status == 204);
    CHECK(options.field("allow") == "POST, OPTIONS");
    CHECK(options.field("access-control-allow-origin").empty());
}

TEST_CASE("a malformed or ambiguous head gets 400 and the connection's end") {
    FrontFixture front;
    for (const char* head :
         {"GET / HTTP/1.1\nHost: a\n\n", "NONSENSE\r\n\r\n", "GET / HTTP/1.1\r\n\r\n",
          "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
          "1\r\nContent-Length: 1"
          "\r\n\r\nx",
          "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
          "Content-Length: 5\r\n\r\n0\r\n\r\nGET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"}) {
        CAPTURE(head);
        TestClient client = front.client();
        client.send(head);
        const std::string all = client.read_all();
        CHECK(all.starts_with("HTTP/1.1 400 Bad Request\r\n"));
        CHECK(all.find("Connection: close\r\n") != std::string::npos);
        CHECK(all.find("x-request-id: req_") != std::string::npos);
        CHECK(all.find("HTTP/1.1 200") ==
              std::string::npos);  // What followed was not taken for a request.
    }
}

TEST_CASE("a head as large as the limit is accepted, a larger one is 431") {
    HttpLimits limits = patient_limits();
    limits.head_bytes = 256;
    FrontFixture front(limits);
    const std::string begin = "GET /health HTTP/1.1\r\nHost: localhost\r\nX: ";
    const std::string end = "\r\n\r\n";
    TestClient client = front.client();
    client.send(begin + std::string(256 - begin.size() - end.size(), 'x') + end);
    CHECK(client.read_answer().status == 200);
    client.send(begin + std::string(257 - begin.size() - end.size(), 'x') + end);
    CHECK(client.read_answer().status == 431);
    TestClient endless = front.client();
    endless.send(begin + std::string(1000, 'x'));
    CHECK(endless.read_answer().status == 431);
}

TEST_CASE("a body as large as the limit is read, a larger one is 413 however it comes") {
    HttpLimits limits = patient_limits();
    limits.body_bytes = 200;
    FrontFixture front(limits);
    std::string body(kChatBody);
    body.resize(200, ' ');
    CHECK(front.post("/v1/chat/completions", body).status == 200);
    CHECK(front.post("/v1/chat/completions", body + " ").status == 413);
    TestClient chunked = front.client();
    chunked.send(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked"
        "\r\n\r\nc9\r\n" +
        body + " \r\n0\r\n\r\n");
    CHECK(chunked.read_answer().status == 413);
}

TEST_CASE("a chunked body is as good as one with its length") {
    FrontFixture front;
    TestClient client = front.client();
    const std::string body(kChatBody);
    client.send(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: "
        "chunked\r\n\r\n"
        "1\r\n{\r\n");
    client.send("3b\r\n" + body.substr(1, 0x3b) + "\r\n0\r\n\r\n");
    const Answer answer = client.read_answer();
    CHECK(body.size() == 0x3c);
    CHECK(answer.status == 200);
    client.send(get_request("/health"));
    CHECK(client.read_answer().status == 200);
}

TEST_CASE("100-continue is given before the body is read, and not when the request is refused") {
    FrontFixture front;
    TestClient client = front.client();
    const std::string body(kChatBody);
    client.send(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
        "Content-Length: 60\r\n\r\n");
    CHECK(client.read_answer().status == 100);
    client.send(body);
    CHECK(client.read_answer().status == 200);
    client.send(
        "POST /nowhere HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
        "Content-Length: 60\r\n\r\n");
    const Answer refused = client.read_answer();
    CHECK(refused.status == 404);
    CHECK(refused.field("connection") == "close");
}

TEST_CASE("an empty line before a request is passed over, also when it comes in two pieces") {
    FrontFixture front;
    TestClient client = front.client();
    client.send("\r\n\r");
    CHECK(client.try_read_answer(milliseconds(5)).status == 0);
    client.send("\n" + get_request("/health"));
    CHECK(client.read_answer().status == 200);
}

TEST_CASE("the Unix socket is served when TCP's clients took all connections") {
    HttpLimits limits = patient_limits();
    limits.connections = 1;
    FrontFixture front(limits);
    TestClient tcp = front.client();
    tcp.send(get_request("/health"));
    CHECK(tcp.read_answer().status == 200);
    TestClient admin = front.admin();
    admin.send(get_request("/admin/v1/node"));
    CHECK(admin.read_answer().status == 200);
}

TEST_CASE("a body that is parsed on another thread is answered like a small one") {
    FrontFixture front;
    const std::string content(1 << 20, 'x');
    CHECK(front.post("/v1/completions", R"({"model":"smol","prompt":")" + content + "\"}").status ==
          200);
    CHECK(front.node->seen().requests.at(0).submit.text == content);
    CHECK(front.post("/v1/completions", R"({"model":"smol","prompt":")" + content).status == 400);
}

TEST_CASE("a head that comes too slowly is 408") {
    HttpLimits limits = patient_limits();
    limits.head_time = milliseconds(20);
    FrontFixture front(limits);
    TestClient client = front.client();
    client.send("GET / HTTP/1.1\r\n");
    CHECK(client.read_answer().status == 408);
    CHECK(client.read_all().empty());
}

TEST_CASE("a connection on which nothing is asked is closed without a word") {
    HttpLimits limits = patient_limits();
    limits.head_time = milliseconds(20);
    FrontFixture front(limits);
    CHECK(front.client().read_all().empty());
}

TEST_CASE("a kept connection is closed after its idle time") {
    HttpLimits limits = patient_limits();
    limits.idle_time = milliseconds(20);
    FrontFixture front(limits);
    TestClient client = front.client();
    client.send(get_request("/health"));
    CHECK(client.read_answer().status == 200);
    CHECK(client.read_all().empty());
}

TEST_CASE("a half-sent body is 408 when it stops, 400 when the client closes") {
    HttpLimits limits = patient_limits();
    limits.body_time = milliseconds(20);
    FrontFixture front(limits);
    const std::string half =
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{";
    TestClient stops = front.client();
    stops.send(half);
    CHECK(stops.read_answer().status == 408);
    TestClient closes = front.client();
    closes.send(half);
    closes.shut_write();
    CHECK(closes.read_answer().status == 400);
}

TEST_CASE("a body that trickles below the least progress is 408") {
    HttpLimits limits = patient_limits();
    limits.body_time = milliseconds(60);
    limits.body_progress_bytes = 1000;
    FrontFixture front(limits);
    TestClient client = front.client();
    client.send(
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n");
    Answer answer;
    // Bytes keep coming until the front has enough of it.
    for (int i = 0; i < 100'000 && answer.status == 0; ++i) {
        client.send("x");
        answer = client.try_read_answer(milliseconds(5));
    }
    CHECK(answer.status == 408);
}

TEST_CASE("one connection beyond the limit is told 503 and when to come back") {
    HttpLimits limits = patient_limits();
    limits.connections = 1;
    FrontFixture front(limits);
    TestClient first = front.client();
    first.send(get_request("/health"));
    CHECK(first.read_answer().status == 200);
    TestClient second = front.client();
    const Answer refused = second.read_answer();
    CHECK(refused.status == 503);
    CHECK(refused.error_code() == "overloaded");
    CHECK(refused.field("retry-after") == "1");
    CHECK(refused.field("retry-after-ms") == "1000");
    CHECK(refused.field("x-should-retry") == "true");
    first.send(get_request("/health"));
    CHECK(first.read_answer().status == 200);
}

TEST_CASE("the Unix socket is for its owner alone and answers every route") {
    FrontFixture front;
    struct stat facts{};
    REQUIRE(::stat(front.unix_path.c_str(), &facts) == 0);
    CHECK((facts.st_mode & 07777) == 0600);
    TestClient client = front.admin();
    client.send(get_request("/v1/models"));
    CHECK(client.read_answer().status == 200);
    client.send(get_request("/admin/v1/node"));
    CHECK(client.read_answer().status == 200);
}

TEST_CASE("stopping closes idle connections and removes the Unix socket") {
    FrontFixture front;
    TestClient idle = front.client();
    idle.send(get_request("/health"));
    CHECK(idle.read_answer().status == 200);
    front.stop(milliseconds(10'000));
    CHECK(idle.read_all().empty());
    front.front.reset();
    CHECK_FALSE(std::filesystem::exists(front.unix_path));
}

TEST_CASE("an address in use, a malformed one and a file in the socket's place are refused") {
    FrontFixture front;
    const auto start = [&front](const std::string& listen, const std::string& unix_path) {
        HttpFront other(
            front.io.context(), *front.node, front.clock, front.entropy,
            FrontOptions{.keys = *front.keys, .listen = listen, .unix_path = unix_path});
        const auto started = other.start();
        REQUIRE_FALSE(started);
        return started.error().code;
    };
    CHECK(start("127.0.0.1:" + std::to_string(front.port), "") == ErrorCode::kConflict);
    for (const char* address : {"127.0.0.1", "8080", "127.0.0.1:", "127.0.0.1:99999", "host:1",
                                "::1:80", "[127.0.0.1]:80", "127.0.0.1:80x"}) {
        CAPTURE(address);
        CHECK(start(address, "") == ErrorCode::kInvalidArgument);
    }
    CHECK(start("", front.folder) == ErrorCode::kConflict);
    CHECK(start("", "/tmp/" + std::string(200, 'x')) == ErrorCode::kInvalidArgument);
}
