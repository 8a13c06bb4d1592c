#include "tests/front/front_fixture.h"

#include <doctest/doctest.h>

#include <string>

using namespace rekindle;          // NOLINT(google-build-using-namespace): test file.
using namespace rekindle::daemon;  // NOLINT(google-build-using-namespace): test file.

namespace {

constexpr const char* kRoute = "/admin/v1/bench/smol";
constexpr const char* kRun =
    R"("run":{"batch":8,"prompt":16,"answer":4,"tokens_per_second":2.5E2})";

Answer ask(FrontFixture& front, const std::string& body) {
    TestClient client = front.admin();
    client.send(post_request(kRoute, body));
    return client.read_answer();
}

std::string batches_of(size_t count, int size) {
    std::string list = std::to_string(size);
    for (size_t i = 1; i < count; ++i) {
        list += "," + std::to_string(size);
    }
    return R"({"batches":[)" + list + "]}";
}

}  // namespace

TEST_CASE("a bench tells a line for each case and its report at the end") {
    FrontFixture front;
    const Answer answer = ask(front, "");
    CHECK(answer.status == 200);
    CHECK(answer.complete);
    CHECK(answer.field("content-type") == "application/x-ndjson");
    CHECK(answer.body ==
          std::string(R"({"done":1,"total":2,)") + kRun + "}\n" +
              R"({"bench":{"model":"smol","revision":"0123","kernels":"scalar",)"
              R"("kv_type":"f16","threads":2,)"
              R"("memory_bytes_per_second":1000,"int8_per_second":0,)"
              R"("guesses":{"computed":0,"right":0,"of_draft":0,"of_draft_right":0},)"
              R"("rows":[{"batch":8,)"
              R"("prompt":16,"answer":4,"tokens_per_second":2.5E2,)"
              R"("best_tokens_per_second":2.6E2,"memory_share":5E-1,"int8_share":null,)"
              R"("ops":[{"name":"down","nanoseconds":700,"calls":3}]}],)"
              R"("disturbed_by":["model other"]}})"
              "\n");
    CHECK(front.node->seen().bench_destroyed);  // Before the answer's end.
}

TEST_CASE("what a bench does not say has a default, and what it says is taken") {
    FrontFixture front;
    REQUIRE(ask(front, "{}").status == 200);
    REQUIRE(ask(front, R"({"batches":[2],"prompt":3,"answer":4,"prefill":5,"repeat":6,)"
                       R"("profile":true})")
                .status == 200);
    const auto benches = front.node->seen().benches;
    REQUIRE(benches.size() == 2);
    CHECK(benches[0].model == "smol");
    CHECK(benches[0].batches == std::vector<uint32_t>{1, 8, 32});
    CHECK(benches[0].prompt == 128);
    CHECK(benches[0].answer == 128);
    CHECK(benches[0].prefill == 512);
    CHECK(benches[0].repeat == 3);
    CHECK_FALSE(benches[0].profile);
    CHECK(benches[1].batches == std::vector<uint32_t>{2});
    CHECK(benches[1].prompt == 3);
    CHECK(benches[1].answer == 4);
    CHECK(benches[1].prefill == 5);
    CHECK(benches[1].repeat == 6);
    CHECK(benches[1].profile);
}

TEST_CASE("each number of a bench has its limit, and the error names the field") {
    FrontFixture front;
    const auto refused = [&front](const std::string& body) {
        const Answer answer = ask(front, body);
        return answer.status == 400 ? answer.error_param() : std::to_string(answer.status);
    };
    const auto with = [](const std::string& key, uint64_t value) {
        return "{\"" + key + "\":" + std::to_string(value) + "}";
    };
    for (const std::string key : {"prompt", "answer", "prefill"}) {
        CAPTURE(key);
        CHECK(refused(with(key, kBenchTokensMax)) == "200");
        CHECK(refused(with(key, kBenchTokensMax + 1)) == key);
        CHECK(refused(with(key, 0)) == key);
    }
    CHECK(refused(with("repeat", kBenchRepeatMax)) == "200");
    CHECK(refused(with("repeat", kBenchRepeatMax + 1)) == "repeat");
    CHECK(refused(with("profile", 1)) == "profile");
    CHECK(refused(batches_of(kBenchBatchesMax, kBenchBatchMax)) == "200");
    CHECK(refused(batches_of(kBenchBatchesMax + 1, 1)) == "batches");
    CHECK(refused(batches_of(1, kBenchBatchMax + 1)) == "batches");
    CHECK(refused(batches_of(1, 0)) == "batches");
    CHECK(refused(R"({"batches":[]})") == "batches");
    CHECK(refused(R"({"batches":[1.5]})") == "batches");
    CHECK(refused(R"({"batches":8})") == "batches");
    CHECK(refused(R"({"threads":2})") == "threads");
    CHECK(ask(front, "[]").status == 400);
    CHECK(ask(front, "{").status == 400);
}

TEST_CASE("what refuses a bench before it begins has an error status") {
    FrontFixture front;
    TestClient client = front.admin();
    client.send(post_request("/admin/v1/bench/none", "{}"));
    CHECK(client.read_answer().status == 404);
    front.node->bench_error = Error{ErrorCode::kConflict, "another bench is running"};
    client.send(post_request(kRoute, "{}"));
    const Answer answer = client.read_answer();
    CHECK(answer.status == 409);
    CHECK(answer.error_code() == "conflict");
    CHECK_FALSE(front.node->seen().bench_destroyed);
}

TEST_CASE("what breaks a bench is its last line") {
    FrontFixture front;
    front.node->bench_breaks = Error{ErrorCode::kUnavailable, "the worker died"};
    const Answer answer = ask(front, "{}");
    CHECK(answer.status == 200);
    CHECK(answer.complete);
    CHECK(
        answer.body.ends_with("{\"error\":{\"message\":\"the worker died\",\"type\":"
                              "\"server_error\",\"param\":null,\"code\":\"unavailable\"}}\n"));
}

TEST_CASE("a client that leaves ends its bench") {
    FrontFixture front;
    front.node->bench_holds = true;
    TestClient client = front.admin();
    client.send(post_request(kRoute, "{}"));
    CHECK(client.read_until("run").find("run") != std::string::npos);
    client.close();
    CHECK(front.node->wait_until(
        [](const Seen& seen) { return seen.bench_cancelled && seen.bench_destroyed; }));
}
