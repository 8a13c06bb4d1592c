#include "tests/front/front_fixture.h"

#include <doctest/doctest.h>

#include <string>
#include <utility>

using namespace rekindle;          // NOLINT(google-build-using-namespace): test file.
using namespace rekindle::daemon;  // NOLINT(google-build-using-namespace): test file.
using std::chrono::milliseconds;

namespace {

std::string replace_all(std::string text, const std::string& from, const std::string& to) {
    for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
        text.replace(at, from.size(), to);
    }
    return text;
}

// The body with the request's own id as ID.
std::string with_plain_id(const Answer& answer) {
    return replace_all(answer.body, answer.field("x-request-id").substr(4), "ID");
}

Script script_of(std::vector<GenerateStream::Event> events) {
    Script script;
    script.events = std::move(events);
    script.events.insert(script.events.begin(), PromptReady{.prompt_tokens = 5});
    return script;
}

GenerateStream::Event logprob_event(const std::string& text, float logprob) {
    LogprobItem item{.bytes = text, .token = 1, .logprob = logprob};
    item.top.push_back(LogprobItem{.bytes = text, .token = 1, .logprob = logprob});
    return Delta{TokensFrame{.sampled = 1, .text = text, .logprobs = {item}}};
}

constexpr const char* kChunk =
    R"(data: {"id":"chatcmpl-ID","object":"chat.completion.chunk","created":1700000000,)"
    R"("model":"smol","system_fingerprint":"rk_0123456789ab","choices":[)";
constexpr const char* kTextChunk =
    R"(data: {"id":"cmpl-ID","object":"text_completion","created":1700000000,)"
    R"("model":"smol","system_fingerprint":"rk_0123456789ab","choices":[)";

}  // namespace

TEST_CASE("a chat stream has exactly these bytes") {
    FrontFixture front;
    const Answer answer = front.post("/v1/chat/completions", kChatStreamBody);
    CHECK(answer.status == 200);
    CHECK(answer.complete);
    CHECK(answer.field("content-type") == "text/event-stream; charset=utf-8");
    CHECK(answer.field("cache-control") == "no-cache");
    const std::string chunk = kChunk;
    CHECK(with_plain_id(answer) ==
          chunk +
              R"({"index":0,"delta":{"role":"assistant","content":""},)"
              R"("logprobs":null,"finish_reason":null}]})"
              "\n\n" +
              chunk +
              R"({"index":0,"delta":{"content":"Hel"},"logprobs":null,"finish_reason":null}]})"
              "\n\n" +
              chunk +
              R"({"index":0,"delta":{"content":"lo"},"logprobs":null,"finish_reason":null}]})"
              "\n\n" +
              chunk +
              R"({"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]})"
              "\n\n"
              ": server-timing queue;dur=0.000, restore;dur=0.000, first-layer;dur=0.000, "
              "prefill;dur=0.000, decode;dur=0.000\n\n"
              "data: [DONE]\n\n");
}

TEST_CASE("a completion stream has exactly these bytes") {
    FrontFixture front;
    front.node->script.events.back() = last_event(Finish::kLength);
    const Answer answer =
        front.post("/v1/completions", R"({"model":"smol","prompt":"x","stream":true})");
    const std::string chunk = kTextChunk;
    CHECK(with_plain_id(answer) ==
          chunk +
              R"({"index":0,"text":"Hel","logprobs":null,"finish_reason":null}]})"
              "\n\n" +
              chunk +
              R"({"index":0,"text":"lo","logprobs":null,"finish_reason":null}]})"
              "\n\n" +
              chunk +
              R"({"index":0,"text":"","logprobs":null,"finish_reason":"length"}]})"
              "\n\n"
              ": server-timing queue;dur=0.000, restore;dur=0.000, first-layer;dur=0.000, "
              "prefill;dur=0.000, decode;dur=0.000\n\n"
              "data: [DONE]\n\n");
}

TEST_CASE("with include_usage the last chunk has the usage and all others have null") {
    FrontFixture front;
    front.node->script.cached_tokens = 2;
    const Answer answer =
        front.post("/v1/chat/completions",
                   R"({"model":"smol","messages":[{"role":"user","content":"hi"}],"stream":true,)"
                   R"("stream_options":{"include_usage":true}})");
    const std::string body = with_plain_id(answer);
    CHECK(body.find(R"("finish_reason":"stop"}],"usage":null})") != std::string::npos);
    CHECK(body.find(std::string(kChunk) +
                    R"(],"usage":{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8,)"
                    R"("prompt_tokens_details":{"cached_tokens":2}}})"
                    "\n\n: server-timing") != std::string::npos);
    CHECK(replace_all(body, R"("usage":null)", "").find("usage") == body.rfind("usage") - 4 * 12);
}

TEST_CASE("a whole chat answer has exactly this body") {
    FrontFixture front;
    front.node->script.times = {.queue = std::chrono::microseconds(1500),
                                .restore = milliseconds(20),
                                .prefill = milliseconds(3),
                                .decode = milliseconds(4)};
    const Answer answer = front.post("/v1/chat/completions", kChatBody);
    CHECK(answer.field("server-timing") ==
          "queue;dur=1.500, restore;dur=20.000, first-layer;dur=0.000, prefill;dur=3.000, "
          "decode;dur=4.000");
    CHECK(
        with_plain_id(answer) ==
        R"({"id":"chatcmpl-ID","object":"chat.completion","created":1700000000,"model":"smol",)"
        R"("system_fingerprint":"rk_0123456789ab","choices":[{"index":0,"message":{"role":)"
        R"("assistant","content":"Hello","refusal":null},"logprobs":null,"finish_reason":"stop"}],)"
        R"("usage":{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8,)"
        R"("prompt_tokens_details":{"cached_tokens":0}}})");
    const Seen seen = front.node->seen();
    CHECK(seen.delivered == std::vector<uint32_t>{3});
    CHECK(seen.finished);
    CHECK_FALSE(seen.requests.at(0).streamed);
}

TEST_CASE("a whole completion answer has exactly this body") {
    FrontFixture front;
    const Answer answer = front.post("/v1/completions", R"({"model":"smol","prompt":"x"})");
    CHECK(
        with_plain_id(answer) ==
        R"({"id":"cmpl-ID","object":"text_completion","created":1700000000,"model":"smol",)"
        R"("system_fingerprint":"rk_0123456789ab","choices":[{"index":0,"text":"Hello",)"
        R"("logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":5,)"
        R"("completion_tokens":3,"total_tokens":8,"prompt_tokens_details":{"cached_tokens":0}}})");
}

TEST_CASE("the node gets the request under the id that the client is told") {
    FrontFixture front;
    const Answer answer = front.post("/v1/chat/completions", kChatStreamBody);
    const Seen seen = front.node->seen();
    REQUIRE(seen.requests.size() == 1);
    CHECK(seen.requests[0].id.text() == answer.field("x-request-id"));
    CHECK(seen.requests[0].model == "smol");
    CHECK(seen.requests[0].streamed);
    CHECK(seen.requests[0].prompt_bytes == 2);
}

TEST_CASE("tokens count as delivered with the event that has their text") {
    FrontFixture front;
    front.node->script = script_of({text_event(""), text_event("a"), text_event("b"),
                                    text_event(""), last_event(Finish::kStop)});
    CHECK(front.post("/v1/chat/completions", kChatStreamBody).complete);
    const Seen seen = front.node->seen();
    CHECK(seen.delivered == std::vector<uint32_t>{2, 1});  // The last two are finish()'s.
    CHECK(seen.finished);
    CHECK_FALSE(seen.cancelled);
}

TEST_CASE("the last frame's text is sent and delivered before the stream is settled") {
    FrontFixture front;
    front.node->script =
        script_of({Delta{TokensFrame{.sampled = 1, .finish = Finish::kLength, .text = "z"}}});
    front.node->script.finish_error = Error{ErrorCode::kUnavailable, "the ledger is broken"};
    const Answer answer = front.post("/v1/chat/completions", kChatStreamBody);
    CHECK(answer.body.find(R"("content":"z")") != std::string::npos);
    CHECK(front.node->seen().delivered == std::vector<uint32_t>{1});
}

TEST_CASE("a stream that can't be settled ends with an error event and without [DONE]") {
    FrontFixture front;
    front.node->script.finish_error = Error{ErrorCode::kUnavailable, "the ledger is broken"};
    TestClient client = front.client();
    client.send(post_request("/v1/chat/completions", kChatStreamBody));
    const Answer answer = client.read_answer();
    CHECK(answer.body.ends_with(
        "data: {\"error\":{\"message\":\"the ledger is broken\",\"type\":\"server_error\","
        "\"param\":null,\"code\":\"unavailable\"}}\n\n"));
    CHECK(answer.body.find("[DONE]") == std::string::npos);
    CHECK(answer.body.find(R"("finish_reason":"stop")") == std::string::npos);
    CHECK(client.read_all().empty());  // The connection has ended.
}

TEST_CASE("a whole answer that can't be settled is an error and not an answer") {
    FrontFixture front;
    front.node->script.finish_error = Error{ErrorCode::kUnavailable, "the ledger is broken"};
    const Answer answer = front.post("/v1/chat/completions", kChatBody);
    CHECK(answer.status == 503);
    CHECK(answer.error_code() == "unavailable");
}

TEST_CASE("an error in the middle of a stream is its last event") {
    FrontFixture front;
    front.node->script = script_of({text_event("a")});
    front.node->script.error = Error{ErrorCode::kUnavailable, "the worker died"};
    const Answer answer = front.post("/v1/chat/completions", kChatStreamBody);
    CHECK(answer.status == 200);
    CHECK(answer.body.find("the worker died") != std::string::npos);
    CHECK(answer.body.find("[DONE]") == std::string::npos);
    CHECK_FALSE(front.node->seen().finished);
}

TEST_CASE("an error before the first byte is a status, streamed or not") {
    FrontFixture front;
    front.node->script = script_of({});
    front.node->script.error = Error{ErrorCode::kUnavailable, "the restore failed"};
    for (const char* body : {kChatBody, kChatStreamBody}) {
        const Answer answer = front.post("/v1/chat/completions", body);
        CHECK(answer.status == 503);
        CHECK(answer.field("retry-after-ms") == "1000");
    }
}

TEST_CASE("a prompt beyond the context is 400 with the code that clients look for") {
    FrontFixture front;
    front.node->script = script_of({});
    front.node->script.error = Error{ErrorCode::kTooLarge, "too long by 3 tokens"};
    const Answer chat = front.post("/v1/chat/completions", kChatBody);
    CHECK(chat.status == 400);
    CHECK(chat.error_code() == "context_length_exceeded");
    CHECK(chat.error_param() == "messages");
    front.node->script.generate_error = Error{ErrorCode::kTooLarge, "surely too long"};
    const Answer refused = front.post("/v1/completions", R"({"model":"smol","prompt":"x"})");
    CHECK(refused.status == 400);
    CHECK(refused.error_param() == "prompt");
}

TEST_CASE("an overloaded node is 503 with when to come back, before anything is sent") {
    FrontFixture front;
    front.node->script.generate_error = Error{ErrorCode::kOverloaded, "the queue is full"};
    const Answer answer = front.post("/v1/chat/completions", kChatStreamBody);
    CHECK(answer.status == 503);
    CHECK(answer.error_code() == "overloaded");
    CHECK(answer.field("x-should-retry") == "true");
}

TEST_CASE("an unknown model is 404 model_not_found") {
    FrontFixture front;
    const Answer answer = front.post("/v1/chat/completions",
                                     R"({"model":"x","messages":[{"role":"user","content":"y"}]})");
    CHECK(answer.status == 404);
    CHECK(answer.error_code() == "model_not_found");
    CHECK(answer.error_param() == "model");
    CHECK(front.get("/v1/models/x").error_code() == "model_not_found");
    CHECK(front.node->seen().requests.empty());
}

TEST_CASE("a client that leaves in the middle of a stream is noticed while the node is silent") {
    FrontFixture front;
    front.node->script.hold_at = 2;  // After "Hel".
    for (const bool with_reset : {false, true}) {
        TestClient client = front.client();
        client.send(post_request("/v1/chat/completions", kChatStreamBody));
        client.read_until("Hel");
        REQUIRE(front.node->wait_until([](const Seen& seen) { return !seen.delivered.empty(); }));
        if (with_reset) {
            client.reset();
        } else {
            client.close();
        }
        CHECK(front.node->wait_until([](const Seen& seen) { return seen.destroyed; }));
        const Seen seen = front.node->seen();
        CHECK(seen.cancelled);
        CHECK_FALSE(seen.failed);
        CHECK_FALSE(seen.finished);
        CHECK(seen.delivered == std::vector<uint32_t>{1});
        front.node->record([](Seen& all) { all = {}; });
    }
}

TEST_CASE("a client that leaves before a whole answer is ready cancels it unbilled") {
    FrontFixture front;
    front.node->script.hold_at = 2;
    TestClient client = front.client();
    client.send(post_request("/v1/chat/completions", kChatBody));
    REQUIRE(front.node->wait_until([](const Seen& seen) { return !seen.requests.empty(); }));
    client.close();
    CHECK(front.node->wait_until([](const Seen& seen) { return seen.destroyed; }));
    CHECK(front.node->seen().cancelled);
    CHECK(front.node->seen().delivered.empty());
}

TEST_CASE("a request that is sent ahead does not look like the client's end") {
    FrontFixture front;
    front.node->script.hold_at = 2;
    TestClient client = front.client();
    client.send(post_request("/v1/chat/completions", kChatStreamBody) + get_request("/health"));
    client.read_until("Hel");
    front.node->release();
    CHECK(client.read_until(R"({"status":"ok"})").find("[DONE]") != std::string::npos);
    CHECK_FALSE(front.node->seen().cancelled);
}

TEST_CASE(
    "a client that reads nothing holds the stream back and is not billed for what is not sent") {
    HttpLimits limits = patient_limits();
    limits.write_time = milliseconds(50);
    FrontFixture front(limits);
    constexpr size_t kEvents = 64;
    std::vector<GenerateStream::Event> events;
    for (size_t i = 0; i < kEvents; ++i) {
        events.push_back(text_event(std::string(256 * 1024, 'x')));
    }
    front.node->script = script_of(std::move(events));
    TestClient client = front.client();
    client.send(post_request("/v1/chat/completions", kChatStreamBody));
    CHECK(front.node->wait_until([](const Seen& seen) { return seen.destroyed; }));
    const Seen seen = front.node->seen();
    CHECK(seen.cancelled);
    CHECK(seen.delivered.size() < kEvents);
    CHECK_FALSE(seen.finished);
}

TEST_CASE("silence before the first token is bridged by comments") {
    HttpLimits limits = patient_limits();
    limits.heartbeat = milliseconds(10);
    FrontFixture front(limits);
    front.node->script.hold_at = 1;
    TestClient client = front.client();
    client.send(post_request("/v1/chat/completions", kChatStreamBody));
    const std::string early = client.read_until(": keep-alive\n\n");
    CHECK(early.starts_with("HTTP/1.1 200 OK\r\n"));
    CHECK(early.find("Server-Timing") == std::string::npos);
    front.node->release();
    CHECK(client.read_until("data: [DONE]\n\n").find(": server-timing queue") != std::string::npos);
}

TEST_CASE("what a stream's head can't know follows it, for clients that take trailers") {
    FrontFixture front;
    const std::string end = "\r\n0\r\n";
    for (const bool takes : {true, false}) {
        TestClient client = front.client();
        std::string request = post_request("/v1/chat/completions", kChatStreamBody);
        if (takes) {
            request.insert(request.find("\r\n") + 2, "TE: trailers\r\nConnection: TE\r\n");
        }
        client.send(request);
        std::string text = client.read_until("data: [DONE]\n\n");
        text += client.read_until("\r\n\r\n");
        CHECK(text.find("Server-Timing: queue;dur=") != std::string::npos);
        CHECK((text.find("Trailer: Server-Timing\r\n") != std::string::npos) == takes);
        const std::string trailer = text.substr(text.find(end) + end.size());
        CHECK(trailer.starts_with(takes ? "Server-Timing: queue;dur=" : "\r\n"));
        CHECK((trailer.find("decode;dur=") != std::string::npos) == takes);
    }
}

TEST_CASE("an error after an early head is an event") {
    HttpLimits limits = patient_limits();
    limits.heartbeat = milliseconds(10);
    FrontFixture front(limits);
    front.node->script = script_of({});
    front.node->script.error = Error{ErrorCode::kUnavailable, "the restore failed"};
    front.node->script.hold_at = 1;
    TestClient client = front.client();
    client.send(post_request("/v1/chat/completions", kChatStreamBody));
    client.read_until(": keep-alive\n\n");
    front.node->release();
    CHECK(client.read_all().find("data: {\"error\":{\"message\":\"the restore failed\"") !=
          std::string::npos);
}

TEST_CASE("the first token's head has the times up to it") {
    FrontFixture front;
    front.node->script.times = {.queue = milliseconds(1),
                                .restore = milliseconds(2),
                                .prefill = milliseconds(3),
                                .decode = milliseconds(4)};
    const Answer answer = front.post("/v1/chat/completions", kChatStreamBody);
    CHECK(answer.field("server-timing") ==
          "queue;dur=1.000, restore;dur=2.000, first-layer;dur=0.000, prefill;dur=3.000");
}

TEST_CASE("stopping lets a running stream end and then closes its connection") {
    FrontFixture front;
    front.node->script.hold_at = 2;
    TestClient client = front.client();
    client.send(post_request("/v1/chat/completions", kChatStreamBody));
    client.read_until("Hel");
    front.begin_stop(std::chrono::minutes(1));
    front.node->release();
    const std::string rest = client.read_all();
    CHECK(rest.find("data: [DONE]\n\n") != std::string::npos);
    client.close();
    front.stop(milliseconds(0));
    CHECK(front.node->seen().finished);
}

TEST_CASE("a stream that outlasts the deadline ends with an error event and bills nothing") {
    FrontFixture front;
    front.node->script.hold_at = 2;
    TestClient client = front.client();
    client.send(post_request("/v1/chat/completions", kChatStreamBody));
    client.read_until("Hel");
    front.begin_stop(milliseconds(10));
    const std::string rest = client.read_all();
    CHECK(rest.find("data: {\"error\":{\"message\":\"this node is shutting down") !=
          std::string::npos);
    CHECK(rest.find("[DONE]") == std::string::npos);
    client.close();
    front.stop(milliseconds(0));
    const Seen seen = front.node->seen();
    CHECK(seen.failed);
    CHECK_FALSE(seen.finished);
    CHECK(seen.destroyed);
}

TEST_CASE("chat log-probabilities come with their text") {
    FrontFixture front;
    front.node->script = script_of({logprob_event("a", -0.5F), last_event(Finish::kStop)});
    const Answer answer =
        front.post("/v1/chat/completions",
                   R"({"model":"smol","messages":[{"role":"user","content":"hi"}],"logprobs":true,)"
                   R"("top_logprobs":1})");
    CHECK(answer.body.find(
              R"("logprobs":{"content":[{"token":"a","logprob":-0.5,"bytes":[97],"top_logprobs":)"
              R"([{"token":"a","logprob":-0.5,"bytes":[97]}]}],"refusal":null})") !=
          std::string::npos);
}

TEST_CASE("log-probabilities of tokens without text wait for the next event") {
    FrontFixture front;
    auto held = Delta{
        TokensFrame{.sampled = 1, .logprobs = {LogprobItem{.bytes = "\xe2\x82", .logprob = -1}}}};
    front.node->script =
        script_of({held, logprob_event("\xac", -2), held, last_event(Finish::kLength)});
    const Answer answer = front.post("/v1/completions",
                                     R"({"model":"smol","prompt":"x","logprobs":0,"stream":true})");
    const std::string body = with_plain_id(answer);
    const auto chunk = [](const std::string& text, const std::string& logprobs) {
        return std::string(kTextChunk) + R"({"index":0,"text":")" + text + R"(","logprobs":)" +
               logprobs;
    };
    CHECK(body.find(R"("tokens":[")"
                    "\xef\xbf\xbd"
                    R"(",")"
                    "\xef\xbf\xbd"
                    R"("],"token_logprobs":[-1,-2])") != std::string::npos);
    CHECK(body.find(chunk("", R"({"tokens":[")"
                              "\xef\xbf\xbd"
                              R"("],"token_logprobs":[-1])")) != std::string::npos);
}

TEST_CASE("the models are listed as OpenAI lists them") {
    FrontFixture front;
    CHECK(front.get("/v1/models").body ==
          R"({"object":"list","data":[{"id":"smol","object":"model","created":1600000000,)"
          R"("owned_by":"rekindle","max_model_len":2048},{"id":"gpt","object":"model",)"
          R"("created":1600000000,"owned_by":"rekindle","max_model_len":2048}]})");
    CHECK(front.get("/v1/models/smol").body ==
          R"({"id":"smol","object":"model","created":1600000000,"owned_by":"rekindle",)"
          R"("max_model_len":2048})");
}

TEST_CASE("readiness follows the node, health does not") {
    FrontFixture front;
    CHECK(front.get("/readyz").status == 200);
    front.node->is_draining = true;
    CHECK(front.get("/readyz").status == 503);
    CHECK(front.get("/readyz").json().at("status") == "draining");
    CHECK(front.get("/healthz").status == 200);
    front.node->is_draining = false;
    front.node->unready_for = {{"stalled", "model smol: 1 requests", false},
                               {"ledger", "it can't be written", true}};
    CHECK(front.get("/readyz").json().at("reasons").as_array().size() == 2);
    CHECK(front.get("/healthz").json().at("status") == "ledger");
    CHECK(front.get("/healthz").json().at("reasons").as_array().size() == 1);
    front.node->unready_for.clear();
    CHECK(front.get("/healthz").status == 200);
    CHECK(front.get("/").body.starts_with("rekindled "));
}

TEST_CASE("a compressed body is 415") {
    FrontFixture front;
    TestClient client = front.client();
    client.send(
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\n"
        "Content-Length: 1\r\n\r\nx");
    CHECK(client.read_answer().status == 415);
}

TEST_CASE("an HTTP/1.0 client gets the stream without chunks, up to the connection's end") {
    FrontFixture front;
    TestClient client = front.client();
    const std::string body(kChatStreamBody);
    client.send("POST /v1/chat/completions HTTP/1.0\r\nContent-Length: " +
                std::to_string(body.size()) + "\r\n\r\n" + body);
    const std::string all = client.read_all();
    CHECK(all.find("Transfer-Encoding") == std::string::npos);
    CHECK(all.ends_with("data: [DONE]\n\n"));
}
