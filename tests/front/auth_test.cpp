// Who may use which route: every route of the table, through every door, with every kind of key.
#include "tests/front/front_fixture.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <string_view>

using namespace rekindle;          // NOLINT(google-build-using-namespace): test file.
using namespace rekindle::daemon;  // NOLINT(google-build-using-namespace): test file.

namespace {

// A path of the route's pattern that FakeNode knows nothing about.
std::string path_of(const Route& route) {
    std::string path(route.pattern);
    if (path.ends_with('*')) {
        path.replace(path.size() - 1, 1, "abc");
    }
    return path;
}

std::string request_of(const Route& route, const std::string& fields) {
    return std::string(route.method) + " " + path_of(route) +
           " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n" + fields +
           "\r\n";
}

std::string bearer(const std::string& key) {
    return "Authorization: Bearer " + key + "\r\n";
}

int status_of(TestClient client, const std::string& request) {
    client.send(request);
    return client.read_answer().status;
}

// What each class of routes answers: 0 stands for everything but 401 and 403.
using Expected = std::map<Access, int>;

void check_table(FrontFixture& front, const std::string& fields, const Expected& expected) {
    for (const Route& route : front.front->routes()) {
        CAPTURE(route.method);
        CAPTURE(route.pattern);
        CAPTURE(fields);
        const int status = status_of(front.client(), request_of(route, fields));
        const int wanted = expected.at(route.access);
        CHECK((wanted == 0 ? status != 401 && status != 403 : status == wanted));
    }
}

Expected all(int status) {
    return {{Access::kPublic, 0},
            {Access::kModel, status},
            {Access::kMetrics, status},
            {Access::kAdmin, status}};
}

Answer get_with(FrontFixture& front, const std::string& path, const std::string& fields) {
    TestClient client = front.client();
    client.send("GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + fields + "\r\n");
    return client.read_answer();
}

}  // namespace

TEST_CASE("every route has the class that its path promises") {
    const FrontFixture front;
    const std::array<std::string_view, 4> open{"/", "/health", "/healthz", "/readyz"};
    for (const Route& route : front.front->routes()) {
        CAPTURE(route.pattern);
        Access wanted = Access::kModel;
        if (route.pattern.starts_with("/admin/")) {
            wanted = Access::kAdmin;
        } else if (route.pattern == "/metrics") {
            wanted = Access::kMetrics;
        } else if (std::find(open.begin(), open.end(), route.pattern) != open.end()) {
            wanted = Access::kPublic;
        }
        CHECK(route.access == wanted);
    }
    CHECK(front.front->routes().size() > 20);
}

TEST_CASE("a route that names no class is an admin route") {
    CHECK(Route{}.access == Access::kAdmin);
}

TEST_CASE("on loopback without keys every route is open, whatever key comes with it") {
    FrontFixture front;
    check_table(front, "", all(0));
    check_table(front, bearer("sk-anything"), all(0));
}

TEST_CASE("on another address without keys nothing but life signs is answered") {
    FrontFixture front(patient_limits(), "0.0.0.0:0");
    check_table(front, "", all(401));
    check_table(front, bearer("sk-anything"), all(401));
    CHECK(front.get("/v1/models")
              .json()
              .at("error")
              .at("message")
              .as_string()
              .find("rekindle keys create") != std::string::npos);
}

TEST_CASE("once a key exists every route asks for one that may use it") {
    std::string listen;
    SUBCASE("on loopback") {
        listen = "127.0.0.1:0";
    }
    SUBCASE("elsewhere") {
        listen = "0.0.0.0:0";
    }
    FrontFixture front(patient_limits(), listen);
    const std::string user = front.make_key({.project = "p"});
    const std::string metrics = front.make_key({.role = KeyRole::kMetrics, .project = "p"});
    const std::string admin = front.make_key({.role = KeyRole::kAdmin, .project = "p"});
    std::string wrong = user;
    wrong[wrong.size() / 2] = wrong[wrong.size() / 2] == 'a' ? 'b' : 'a';
    check_table(front, "", all(401));
    check_table(front, bearer(wrong), all(401));
    check_table(front, bearer("sk-anything"), all(401));
    check_table(front, "Authorization: Basic dTpw\r\n", all(401));
    check_table(front, bearer(user),
                {{Access::kPublic, 0},
                 {Access::kModel, 0},
                 {Access::kMetrics, 403},
                 {Access::kAdmin, 403}});
    check_table(front, bearer(metrics),
                {{Access::kPublic, 0},
                 {Access::kModel, 403},
                 {Access::kMetrics, 0},
                 {Access::kAdmin, 403}});
    check_table(front, bearer(admin), all(0));
}

TEST_CASE("the admin socket asks for no key, and takes one that says who pays") {
    FrontFixture front;
    const std::string user = front.make_key({.project = "p"});
    for (const Route& route : front.front->routes()) {
        CAPTURE(route.pattern);
        const int status = status_of(front.admin(), request_of(route, ""));
        CHECK((status != 401 && status != 403));
    }
    for (const Route& route : front.front->routes()) {
        const int status = status_of(front.admin(), request_of(route, bearer("sk-wrong")));
        CHECK((status == 401) == (route.access == Access::kModel));
    }
    TestClient client = front.admin();
    client.send("POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n" + bearer(user) +
                "Content-Length: " + std::to_string(std::string(kChatBody).size()) + "\r\n\r\n" +
                kChatBody);
    CHECK(client.read_answer().status == 200);
    CHECK(front.node->seen().requests.back().project == "p");
}

TEST_CASE("a key may come in any of three fields, but not as two different ones") {
    FrontFixture front;
    const std::string key = front.make_key({.project = "p"});
    const std::string other = front.make_key({.project = "q"});
    const auto status = [&front](const std::string& fields) {
        return get_with(front, "/v1/models", fields).status;
    };
    CHECK(status("Authorization: Bearer " + key + "\r\n") == 200);
    CHECK(status("authorization: bearer  " + key + "\r\n") == 200);
    CHECK(status("X-Api-Key: " + key + "\r\n") == 200);
    CHECK(status("api-key: " + key + "\r\n") == 200);
    CHECK(status("api-key: " + key + "\r\nAuthorization: Bearer " + key + "\r\n") == 200);
    CHECK(status("api-key: " + other + "\r\nAuthorization: Bearer " + key + "\r\n") == 401);
    CHECK(status("Authorization: " + key + "\r\n") == 401);
    CHECK(status("Authorization: Bearer\r\n") == 401);
    CHECK(status("Authorization: Bearer " + key + " " + key + "\r\n") == 401);
}

TEST_CASE("a refused key is not repeated, and the answer has OpenAI's form") {
    FrontFixture front;
    front.make_key({.project = "p"});
    const Answer answer = get_with(front, "/v1/models", bearer("sk-my-secret-of-elsewhere"));
    CHECK(answer.status == 401);
    CHECK(answer.error_code() == "invalid_api_key");
    CHECK(answer.json().at("error").at("type") == "authentication_error");
    CHECK(answer.field("WWW-Authenticate") == "Bearer");
    CHECK((answer.head + answer.body).find("elsewhere") == std::string::npos);
    CHECK(answer.field("Access-Control-Allow-Origin").empty());
}

TEST_CASE("a request is billed to its key's organization and project, by the key's id") {
    FrontFixture front;
    const std::string key = front.make_key({.organization = "o", .project = "p"});
    TestClient client = front.client();
    client.send("POST /v1/chat/completions HTTP/1.1\r\nHost: api.example\r\n" + bearer(key) +
                "Content-Length: " + std::to_string(std::string(kChatBody).size()) + "\r\n\r\n" +
                kChatBody);
    CHECK(client.read_answer().status == 200);
    const GenerateRequest seen = front.node->seen().requests.back();
    CHECK(seen.organization == "o");
    CHECK(seen.project == "p");
    CHECK(seen.key == key.substr(kKeyPrefix.size(), kKeyIdChars));
}

TEST_CASE("without keys a browser can be led here under no other host's name") {
    FrontFixture front;
    const auto status = [&front](const std::string& host) {
        TestClient client = front.client();
        client.send("GET /v1/models HTTP/1.1\r\nHost: " + host + "\r\n\r\n");
        return client.read_answer().status;
    };
    CHECK(status("evil.example") == 403);
    CHECK(status("127.0.0.1.evil.example") == 403);
    CHECK(status("localhost:9") == 200);
    TestClient old = front.client();
    old.send("GET /v1/models HTTP/1.0\r\n\r\n");
    CHECK(old.read_answer().status == 200);
}

TEST_CASE("an admin key does not let foreign web pages in") {
    FrontFixture front;
    const std::string admin = front.make_key({.role = KeyRole::kAdmin, .project = "p"});
    const auto status = [&](const std::string& fields) {
        return get_with(front, "/admin/v1/node", bearer(admin) + fields).status;
    };
    CHECK(status("") == 200);
    CHECK(status("X-Forwarded-For: 10.0.0.1\r\n") == 200);  // A proxy may pass a key on.
    CHECK(status("Origin: https://evil.example\r\n") == 403);
    CHECK(status("Origin: null\r\n") == 403);
}
