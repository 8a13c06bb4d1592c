#include "daemon/admin_upkeep.h"

#include "tests/front/front_fixture.h"

#include <doctest/doctest.h>

#include <string>

using namespace rekindle;          // NOLINT(google-build-using-namespace): test file.
using namespace rekindle::daemon;  // NOLINT(google-build-using-namespace): test file.

namespace {

Answer ask(FrontFixture& front, const std::string& target) {
    TestClient client = front.admin();
    client.send(post_request(target, ""));
    return client.read_answer();
}

std::string last_seen(const FrontFixture& front) {
    return front.upkeep.seen.empty() ? "" : front.upkeep.seen.back();
}

}  // namespace

TEST_CASE("a collection tells what it removed, a dry run what it would") {
    FrontFixture front;
    const Answer done = ask(front, "/admin/v1/gc");
    CHECK(done.status == 200);
    CHECK(done.body == R"({"gc":{"dry_run":false,"images":["aa","bb"],"kept":["cc"],)"
                       R"("bytes_freed":4096,"bytes_kept":8192}})");
    CHECK(last_seen(front) == "gc");
    CHECK(ask(front, "/admin/v1/gc?dry_run=true").status == 200);
    CHECK(last_seen(front) == "gc dry");
    CHECK(ask(front, "/admin/v1/gc?pulled=true").status == 200);
    CHECK(last_seen(front) == "gc pulled");
    CHECK(ask(front, "/admin/v1/gc?dry_run=maybe").error_param() == "dry_run");
    CHECK(ask(front, "/admin/v1/gc?pulled=1").error_param() == "pulled");
    CHECK(ask(front, "/admin/v1/gc?force=true").error_param() == "force");
    front.upkeep.error = Error{ErrorCode::kUnavailable, "this node is shutting down"};
    CHECK(ask(front, "/admin/v1/gc").status == 503);
}

TEST_CASE("a check tells a line for each step and its report at the end") {
    FrontFixture front;
    front.upkeep.faults = {
        {.image = "aa", .models = {"smol"}, .chunk = 3, .reason = "chunk 00 is damaged"}};
    const Answer answer = ask(front, "/admin/v1/verify?model=smol&share=25");
    CHECK(answer.status == 200);
    CHECK(answer.complete);
    CHECK(answer.field("content-type") == "application/x-ndjson");
    CHECK(answer.body ==
          "{\"done\":10,\"total\":20}\n"
          R"({"verify":{"images":1,"chunks":2,"bytes":20,"faults":[{"image":"aa",)"
          R"("models":["smol"],"chunk":3,"reason":"chunk 00 is damaged"}]}})"
          "\n");
    CHECK(last_seen(front) == "verify smol 25");
    CHECK(ask(front, "/admin/v1/verify").status == 200);
    CHECK(last_seen(front) == "verify  50");
}

TEST_CASE("a check's share of the disk has its limits") {
    FrontFixture front;
    CHECK(ask(front, "/admin/v1/verify?share=1").status == 200);
    CHECK(ask(front, "/admin/v1/verify?share=100").status == 200);
    for (const char* share : {"0", "101", "-1", "half", "", "5.5"}) {
        CAPTURE(share);
        CHECK(ask(front, std::string("/admin/v1/verify?share=") + share).error_param() == "share");
    }
}

TEST_CASE("what breaks a check is its last line, what refuses it an error status") {
    FrontFixture front;
    front.upkeep.verify_error = Error{ErrorCode::kUnavailable, "this node is shutting down"};
    const Answer broken = ask(front, "/admin/v1/verify");
    CHECK(broken.status == 200);
    CHECK(broken.body.find("{\"error\":{\"message\":\"this node is shutting down\"") !=
          std::string::npos);
    front.upkeep.error = Error{ErrorCode::kConflict, "another check of the chunks is running"};
    CHECK(ask(front, "/admin/v1/verify").status == 409);
}

TEST_CASE("a model is warmed, waiting or not") {
    FrontFixture front;
    const Answer warmed = ask(front, "/admin/v1/warm/smol");
    CHECK(warmed.status == 200);
    CHECK(warmed.json().at("deployment").at("tier") == "worker");
    CHECK(last_seen(front) == "warm smol wait");
    CHECK(ask(front, "/admin/v1/warm/smol?wait=false").status == 200);
    CHECK(last_seen(front) == "warm smol begin");
    CHECK(ask(front, "/admin/v1/warm/smol?wait=1").error_param() == "wait");
    front.upkeep.error = Error{ErrorCode::kResourceExhausted, "needs 2 GiB, has 1 GiB"};
    CHECK(ask(front, "/admin/v1/warm/smol").status == 503);
}

TEST_CASE("who may ask a model may have it preloaded, and nothing else") {
    FrontFixture front;
    const Answer ready = front.post("/v1/preload/smol", "");
    CHECK(ready.status == 200);
    CHECK(ready.body == R"({"model":"smol","ready":true})");
    CHECK(last_seen(front) == "warm smol begin");
    front.upkeep.restoring = true;
    CHECK(front.post("/v1/preload/smol", "").status == 202);
    front.upkeep.error = Error{ErrorCode::kNotFound, "no model named \"none\" is deployed"};
    CHECK(front.post("/v1/preload/none", "").status == 404);
}

TEST_CASE("a model is cooled to where it is told, and waits as long as it is told") {
    FrontFixture front;
    CHECK(ask(front, "/admin/v1/cool/smol").json().at("deployment").at("tier") == "memory");
    CHECK(last_seen(front) == "cool smol host 0");
    CHECK(ask(front, "/admin/v1/cool/smol?to=disk&wait_ms=1500").status == 200);
    CHECK(last_seen(front) == "cool smol disk 1500");
    CHECK(ask(front, "/admin/v1/cool/smol?to=tape").error_param() == "to");
    CHECK(ask(front, "/admin/v1/cool/smol?wait_ms=" + std::to_string(kCoolWaitMsMax)).status ==
          200);
    CHECK(ask(front, "/admin/v1/cool/smol?wait_ms=" + std::to_string(kCoolWaitMsMax + 1))
              .error_param() == "wait_ms");
    CHECK(ask(front, "/admin/v1/cool/smol?wait_ms=-1").error_param() == "wait_ms");
    front.upkeep.error = Error{ErrorCode::kConflict, "smol answers 2 requests"};
    CHECK(ask(front, "/admin/v1/cool/smol").status == 409);
    front.upkeep.error = Error{ErrorCode::kNotFound, "no model named \"none\" is deployed"};
    CHECK(ask(front, "/admin/v1/cool/none").status == 404);
}
