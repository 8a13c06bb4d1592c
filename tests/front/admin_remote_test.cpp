#include "tests/front/front_fixture.h"

#include <doctest/doctest.h>

#include <string>

using namespace rekindle;          // NOLINT(google-build-using-namespace): test file.
using namespace rekindle::daemon;  // NOLINT(google-build-using-namespace): test file.

namespace {

Answer ask(FrontFixture& front, const std::string& route, const std::string& body) {
    TestClient client = front.admin();
    client.send(post_request(route, body));
    return client.read_answer();
}

}  // namespace

TEST_CASE("a push tells its progress and what was moved") {
    FrontFixture front;
    const Answer answer =
        ask(front, "/admin/v1/push", R"({"model":"smol","remote":"s3://bucket/x"})");
    CHECK(answer.status == 200);
    CHECK(answer.body ==
          R"({"phase":"push","done":1,"total":2})"
          "\n"
          R"({"push":{"image":"sha256:aa","image_bytes":1000,"chunks":2,"chunks_moved":1,)"
          R"("bytes_moved":0,"name":"smol"}})"
          "\n");
    const auto transfers = front.node->seen().transfers;
    REQUIRE(transfers.size() == 1);
    CHECK(transfers[0].what == "smol");
    CHECK(transfers[0].remote == "s3://bucket/x");
}

TEST_CASE("a pull gives the manifest that was pushed, or the reason of its failure") {
    FrontFixture front;
    const std::string body = R"({"image":"smol","remote":"file:///srv/models"})";
    CHECK(ask(front, "/admin/v1/pull", body).body.find(R"("manifest":{"name":"smol"})") !=
          std::string::npos);
    front.node->deploy_error = Error{ErrorCode::kNotFound, "there is no such object"};
    CHECK(ask(front, "/admin/v1/pull", body).body.find("there is no such object") !=
          std::string::npos);
}

TEST_CASE("a pull that serves says so, and what is no flag is refused") {
    FrontFixture front;
    const auto pull = [&](const std::string& serve) {
        return ask(front, "/admin/v1/pull",
                   R"({"image":"smol","remote":"s3://bucket","serve":)" + serve + "}");
    };
    CHECK(pull("true").body.find(R"("arriving":true)") != std::string::npos);
    CHECK(pull("false").body.find(R"("arriving":false)") != std::string::npos);
    CHECK(front.node->seen().transfers.front().serve);
    CHECK(pull("1").status == 400);
    CHECK(ask(front, "/admin/v1/push", R"({"model":"m","remote":"s3://b","serve":true})").status ==
          400);
}

TEST_CASE("a folder is refused over TCP") {
    FrontFixture front;
    const std::string body = R"({"model":"smol","remote":"file:///srv/models"})";
    CHECK(front.post("/admin/v1/push", body).status == 403);
    CHECK(front.node->seen().transfers.empty());
    CHECK(ask(front, "/admin/v1/push", body).status == 200);
}

TEST_CASE("what a transfer needs is asked for, and nothing else is taken") {
    FrontFixture front;
    for (const char* body :
         {"", "[]", "{}", R"({"model":"smol"})", R"({"remote":"s3://b"})",
          R"({"model":1,"remote":"s3://b"})", R"({"model":"smol","remote":"s3://b","extra":1})"}) {
        CAPTURE(body);
        CHECK(ask(front, "/admin/v1/push", body).status == 400);
    }
    CHECK(ask(front, "/admin/v1/pull", R"({"image":"a","remote":"s3://b","name":"x"})").status ==
          400);
}
