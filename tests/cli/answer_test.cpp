#include "cli/answer.h"

#include <boost/json/serialize.hpp>
#include <doctest/doctest.h>

#include <string>

namespace rekindle::cli {

namespace {

struct Heard {
    AnswerReader reader;
    std::string text;

    Result<void> take(std::string_view data) {
        return reader.take_event(data, [this](std::string_view piece) -> Result<void> {
            text += piece;
            return {};
        });
    }
};

}  // namespace

TEST_CASE("a chat stream gives its text, finish reason and usage") {
    Heard heard;
    CHECK(heard.take(R"({"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]})"));
    CHECK(heard.take(R"({"choices":[{"delta":{"content":"Hel"},"finish_reason":null}]})"));
    CHECK(heard.take(
        R"({"choices":[{"delta":{"content":"lo"},"finish_reason":null}],"usage":null})"));
    CHECK(heard.take(R"({"choices":[{"delta":{},"finish_reason":"stop"}]})"));
    CHECK(heard.take(R"({"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3}})"));
    CHECK_FALSE(heard.reader.done());
    CHECK(heard.take("[DONE]"));

    CHECK(heard.text == "Hello");
    CHECK(heard.reader.done());
    CHECK(heard.reader.end().finish_reason == "stop");
    CHECK(heard.reader.end().prompt_tokens == 9);
    CHECK(heard.reader.end().completion_tokens == 3);
}

TEST_CASE("a completions stream gives its text") {
    Heard heard;
    CHECK(heard.take(R"({"choices":[{"text":" Paris","finish_reason":"length"}]})"));
    CHECK(heard.text == " Paris");
    CHECK(heard.reader.end().finish_reason == "length");
}

TEST_CASE("an error event is the error, with its message") {
    Heard heard;
    const auto broken = heard.take(
        R"({"error":{"message":"the worker of x ended","type":"server_error","code":"x"}})");
    REQUIRE_FALSE(broken);
    CHECK(broken.error().code == ErrorCode::kInternal);
    CHECK(broken.error().message == "the worker of x ended");

    const auto refused =
        heard.take(R"({"error":{"message":"too long","type":"invalid_request_error"}})");
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::kConflict);
}

TEST_CASE("events of another shape are errors, not crashes") {
    for (const char* data :
         {"", "{", "[]", "{}", R"({"choices":[1]})", R"({"choices":{}})", R"({"error":"x"})"}) {
        CAPTURE(data);
        Heard heard;
        CHECK_FALSE(heard.take(data));
    }
    Heard heard;
    CHECK(heard.take(R"({"choices":[{"delta":7}]})"));
    CHECK(heard.take(R"({"choices":[{"delta":{"content":7}}],"usage":[]})"));
    CHECK(heard.text.empty());
}

TEST_CASE("options that were not given are not sent") {
    json::object body;
    put_options(body, AnswerOptions{});
    CHECK(body.empty());

    AnswerOptions options;
    options.max_tokens = 5;
    options.temperature = 0;
    options.stop = {"a", "b"};
    put_options(body, options);
    CHECK(body.at("max_tokens") == 5);
    CHECK(body.at("temperature") == 0.0);
    CHECK(json::serialize(body.at("stop")) == R"(["a","b"])");
    CHECK_FALSE(body.contains("seed"));
}

}  // namespace rekindle::cli
