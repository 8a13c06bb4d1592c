#include "tests/front/front_fixture.h"

#include <doctest/doctest.h>

#include <string>

using namespace rekindle;          // NOLINT(google-build-using-namespace): test file.
using namespace rekindle::daemon;  // NOLINT(google-build-using-namespace): test file.

namespace {

Answer ask(FrontFixture& front, const std::string& request) {
    TestClient client = front.admin();
    client.send(request);
    return client.read_answer();
}

Answer create(FrontFixture& front, const std::string& body) {
    return ask(front, post_request("/admin/v1/keys", body));
}

std::string text(const json::value& value) {
    return std::string(value.as_string());
}

}  // namespace

TEST_CASE("a key is made, shown once, listed and revoked") {
    FrontFixture front;
    const Answer made = create(front, R"({"project":"p","organization":"o","name":"n",)"
                                      R"("role":"admin","expires_in":60})");
    CHECK(made.status == 200);
    CHECK(made.field("Cache-Control") == "no-store");
    const json::value key = made.json();
    const std::string secret = text(key.at("key"));
    const std::string id = text(key.at("id"));
    CHECK(secret.starts_with("rekindle_" + id + "_"));
    CHECK(key.at("role") == "admin");
    CHECK(key.at("state") == "active");
    CHECK(key.at("expires").as_int64() == key.at("created").as_int64() + 60);
    CHECK(key.at("last_used").is_null());

    const Answer listed = ask(front, get_request("/admin/v1/keys"));
    CHECK(listed.body.find(secret) == std::string::npos);
    CHECK(listed.body.find("digest") == std::string::npos);
    const json::value shown = listed.json().at("keys").at(0);
    CHECK(text(shown.at("id")) == id);
    CHECK(text(shown.at("project")) == "p");
    CHECK(text(shown.at("organization")) == "o");
    CHECK(text(shown.at("name")) == "n");

    const Answer revoked =
        ask(front, "DELETE /admin/v1/keys/" + id + " HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(revoked.status == 200);
    CHECK(revoked.json().at("state") == "revoked");
    TestClient client = front.client();
    client.send("GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + secret +
                "\r\n\r\n");
    CHECK(client.read_answer().status == 401);
}

TEST_CASE("what is wrong with a key's description is named") {
    FrontFixture front;
    const auto refused = [&front](const std::string& body) {
        const Answer answer = create(front, body);
        CHECK(answer.status == 400);
        return answer.error_code() + " " + answer.error_param();
    };
    CHECK(refused("{}") == "missing_required_parameter project");
    CHECK(refused("[]") == "invalid_value null");
    CHECK(refused("{") == "invalid_value null");
    CHECK(refused(R"({"project":7})") == "invalid_value project");
    CHECK(refused(R"({"project":"p","role":"root"})") == "invalid_value role");
    CHECK(refused(R"({"project":"p","expires_in":"soon"})") == "invalid_value expires_in");
    CHECK(refused(R"({"project":"p","expires_in":0})") == "invalid_value null");
    CHECK(refused(R"({"project":"p q"})") == "invalid_value null");
    CHECK(refused(R"({"project":"p","scope":"all"})") == "unknown_parameter scope");
    CHECK(ask(front, get_request("/admin/v1/keys")).body == R"({"keys":[]})");
}

TEST_CASE("a key that does not exist can't be revoked") {
    FrontFixture front;
    CHECK(ask(front, "DELETE /admin/v1/keys/aaaaaaaaaa HTTP/1.1\r\nHost: a\r\n\r\n").status == 404);
}

TEST_CASE("the first key over TCP closes the door behind it") {
    FrontFixture front;
    CHECK(front.post("/admin/v1/keys", R"({"project":"p"})").status == 200);
    CHECK(front.post("/admin/v1/keys", R"({"project":"p"})").status == 401);
    CHECK(create(front, R"({"project":"p"})").status == 200);
}
