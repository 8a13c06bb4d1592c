#include "daemon/openai_request.h"

#include <doctest/doctest.h>

#include <string>

using namespace rekindle;          // NOLINT(google-build-using-namespace): test file.
using namespace rekindle::daemon;  // NOLINT(google-build-using-namespace): test file.

namespace {

constexpr uint64_t kSeed = 42;

std::variant<AnswerRequest, ApiError> parse(AnswerKind kind, const std::string& more) {
    const std::string content = kind == AnswerKind::kChat
                                    ? R"("messages":[{"role":"user","content":"hi"}])"
                                    : R"("prompt":"hi")";
    return parse_answer_request(
        R"({"model":"smol",)" + content + (more.empty() ? "" : "," + more) + "}", kind, kSeed);
}

AnswerRequest chat(const std::string& more) {
    auto parsed = parse(AnswerKind::kChat, more);
    if (auto* error = std::get_if<ApiError>(&parsed)) {
        FAIL(error->message);
    }
    return std::get<AnswerRequest>(parsed);
}

AnswerRequest completion(const std::string& more) {
    auto parsed = parse(AnswerKind::kCompletion, more);
    if (auto* error = std::get_if<ApiError>(&parsed)) {
        FAIL(error->message);
    }
    return std::get<AnswerRequest>(parsed);
}

// "code param" of the refusal, "accepted" without one.
std::string refusal(const std::variant<AnswerRequest, ApiError>& parsed) {
    const auto* error = std::get_if<ApiError>(&parsed);
    if (error == nullptr) {
        return "accepted";
    }
    CHECK(error->status == 400);
    return std::string(error->code) + " " + error->param;
}

std::string refused_chat(const std::string& more) {
    return refusal(parse(AnswerKind::kChat, more));
}

std::string refused_completion(const std::string& more) {
    return refusal(parse(AnswerKind::kCompletion, more));
}

std::string refused_body(const std::string& body, AnswerKind kind = AnswerKind::kChat) {
    return refusal(parse_answer_request(body, kind, kSeed));
}

std::string refused_messages(const std::string& messages) {
    return refused_body(R"({"model":"smol","messages":)" + messages + "}");
}

std::string refused_prompt(const std::string& prompt) {
    return refused_body(R"({"model":"smol","prompt":)" + prompt + "}", AnswerKind::kCompletion);
}

std::string messages_text(const std::string& messages) {
    auto parsed = parse_answer_request(R"({"model":"smol","messages":)" + messages + "}",
                                       AnswerKind::kChat, kSeed);
    REQUIRE(std::holds_alternative<AnswerRequest>(parsed));
    return std::get<AnswerRequest>(parsed).submit.text;
}

}  // namespace

TEST_CASE("a chat without options has OpenAI's defaults") {
    const AnswerRequest request = chat("");
    CHECK(request.model == "smol");
    CHECK(request.submit.kind == PromptKind::kChat);
    CHECK(request.submit.text ==
          R"({"messages":[{"role":"user","content":"hi"}],"add_generation_prompt":true})");
    CHECK(request.prompt_bytes == 2);
    CHECK(request.submit.tokens_max == 0);
    CHECK(request.submit.temperature == 1.0F);
    CHECK(request.submit.top_p == 1.0F);
    CHECK(request.submit.top_k == 0);
    CHECK(request.submit.min_p == 0.0F);
    CHECK(request.submit.repetition_penalty == 1.0F);
    CHECK(request.submit.presence_penalty == 0.0F);
    CHECK(request.submit.frequency_penalty == 0.0F);
    CHECK(request.submit.logit_bias.empty());
    CHECK(request.submit.seed == kSeed);
    CHECK_FALSE(request.submit.ignore_eos);
    CHECK_FALSE(request.submit.want_logprobs);
    CHECK(request.submit.stop.empty());
    CHECK_FALSE(request.stream);
    CHECK_FALSE(request.include_usage);
}

TEST_CASE("a completion without options ends after 16 tokens") {
    const AnswerRequest request = completion("");
    CHECK(request.submit.kind == PromptKind::kText);
    CHECK(request.submit.text == "hi");
    CHECK(request.submit.tokens_max == kCompletionTokensDefault);
}

TEST_CASE("every option reaches the worker") {
    const AnswerRequest request =
        chat(R"("max_completion_tokens":7,"temperature":0.5,"top_p":0.25,"top_k":40,"min_p":0.125,)"
             R"("seed":-1,"ignore_eos":true,"logprobs":true,"top_logprobs":20,"stop":["a","b"],)"
             R"("stream":true,"stream_options":{"include_usage":true})");
    CHECK(request.submit.tokens_max == 7);
    CHECK(request.submit.temperature == 0.5F);
    CHECK(request.submit.top_p == 0.25F);
    CHECK(request.submit.top_k == 40);
    CHECK(request.submit.min_p == 0.125F);
    CHECK(request.submit.seed == UINT64_MAX);
    CHECK(request.submit.ignore_eos);
    CHECK(request.submit.want_logprobs);
    CHECK(request.submit.top_logprobs == 20);
    CHECK(request.submit.stop == std::vector<std::string>{"a", "b"});
    CHECK(request.stream);
    CHECK(request.include_usage);
}

TEST_CASE("null stands for absent in every field that is read") {
    const AnswerRequest request = chat(
        R"("max_tokens":null,"temperature":null,"top_p":null,"seed":null,"stop":null,"n":null,)"
        R"("stream":null,"stream_options":null,"logprobs":null,"tools":null,"user":null)");
    CHECK(request.submit.tokens_max == 0);
    CHECK(request.submit.seed == kSeed);
}

TEST_CASE("numbers are accepted at their limits and refused beyond") {
    CHECK(refused_chat(R"("temperature":0)") == "accepted");
    CHECK(refused_chat(R"("temperature":2)") == "accepted");
    CHECK(refused_chat(R"("temperature":2.001)") == "invalid_value temperature");
    CHECK(refused_chat(R"("temperature":-0.1)") == "invalid_value temperature");
    CHECK(refused_chat(R"("top_p":1)") == "accepted");
    CHECK(refused_chat(R"("top_p":0)") == "invalid_value top_p");
    CHECK(refused_chat(R"("top_p":1.1)") == "invalid_value top_p");
    CHECK(refused_chat(R"("min_p":1)") == "accepted");
    CHECK(refused_chat(R"("min_p":1.5)") == "invalid_value min_p");
    CHECK(refused_chat(R"("presence_penalty":-2)") == "accepted");
    CHECK(refused_chat(R"("presence_penalty":2)") == "accepted");
    CHECK(refused_chat(R"("presence_penalty":2.1)") == "invalid_value presence_penalty");
    CHECK(refused_chat(R"("frequency_penalty":-2.1)") == "invalid_value frequency_penalty");
    CHECK(refused_chat(R"("repetition_penalty":10)") == "accepted");
    CHECK(refused_chat(R"("repetition_penalty":10.1)") == "invalid_value repetition_penalty");
    CHECK(refused_chat(R"("repetition_penalty":0)") == "invalid_value repetition_penalty");
    CHECK(refused_chat(R"("logit_bias":{"5":100,"0":-100})") == "accepted");
    CHECK(refused_chat(R"("logit_bias":{"5":100.5})") == "invalid_value logit_bias");
    CHECK(refused_chat(R"("logit_bias":{"5":"1"})") == "invalid_value logit_bias");
    CHECK(refused_chat(R"("logit_bias":[5])") == "invalid_value logit_bias");
    for (const char* id : {"", "-1", "05", "1.0", "x", "2147483648"}) {
        CHECK(refused_chat("\"logit_bias\":{\"" + std::string(id) + "\":1}") ==
              "invalid_value logit_bias");
    }
    CHECK(refused_chat(R"("top_k":-1)") == "accepted");
    CHECK(refused_chat(R"("top_k":-2)") == "invalid_value top_k");
    CHECK(refused_chat(R"("top_k":2147483648)") == "invalid_value top_k");
    CHECK(refused_chat(R"("max_tokens":1)") == "accepted");
    CHECK(refused_chat(R"("max_tokens":0)") == "invalid_value max_tokens");
    CHECK(refused_chat(R"("max_tokens":2147483647)") == "accepted");
    CHECK(refused_chat(R"("max_tokens":2147483648)") == "invalid_value max_tokens");
    CHECK(refused_chat(R"("max_tokens":1.5)") == "invalid_value max_tokens");
    CHECK(refused_chat(R"("seed":9223372036854775807)") == "accepted");
    CHECK(refused_chat(R"("seed":9223372036854775808)") == "invalid_value seed");
    CHECK(refused_chat(R"("temperature":1e999)") != "accepted");
}

TEST_CASE("values of the wrong type are refused by name") {
    CHECK(refused_chat(R"("temperature":"hot")") == "invalid_value temperature");
    CHECK(refused_chat(R"("max_tokens":"7")") == "invalid_value max_tokens");
    CHECK(refused_chat(R"("stream":1)") == "invalid_value stream");
    CHECK(refused_chat(R"("seed":"x")") == "invalid_value seed");
    CHECK(refused_chat(R"("stop":7)") == "invalid_value stop");
    CHECK(refused_chat(R"("stop":["a",7])") == "invalid_value stop");
    CHECK(refused_chat(R"("ignore_eos":"yes")") == "invalid_value ignore_eos");
    CHECK(refused_chat(R"("logprobs":1)") == "invalid_value logprobs");
    CHECK(refused_completion(R"("logprobs":true)") == "invalid_value logprobs");
    CHECK(refused_completion(R"("echo":1)") == "invalid_value echo");
    CHECK(refused_chat(R"("user":7)") == "invalid_value user");
    CHECK(refused_chat(R"("metadata":[])") == "invalid_value metadata");
}

TEST_CASE("max_tokens and max_completion_tokens exclude each other") {
    CHECK(refused_chat(R"("max_tokens":1,"max_completion_tokens":1)") ==
          "invalid_value max_tokens");
}

TEST_CASE("stop strings are bounded in number and length") {
    const auto list = [](size_t count) {
        std::string text = R"("stop":[)";
        for (size_t i = 0; i < count; ++i) {
            text += (i == 0 ? "" : ",") + std::string(R"("s)") + std::to_string(i) + '"';
        }
        return text + "]";
    };
    CHECK(refused_chat(list(kStopStringsMax)) == "accepted");
    CHECK(refused_chat(list(kStopStringsMax + 1)) == "invalid_value stop");
    CHECK(refused_chat(list(0)) == "accepted");
    CHECK(refused_chat(R"("stop":")" + std::string(kStopBytesMax, 'x') + '"') == "accepted");
    CHECK(refused_chat(R"("stop":")" + std::string(kStopBytesMax + 1, 'x') + '"') ==
          "invalid_value stop");
    CHECK(refused_chat(R"("stop":"")") == "invalid_value stop");
    CHECK(chat(R"("stop":"END")").submit.stop == std::vector<std::string>{"END"});
}

TEST_CASE("log-probabilities have up to 20 alternatives, in chats only when asked for") {
    CHECK(refused_chat(R"("logprobs":true,"top_logprobs":0)") == "accepted");
    CHECK(refused_chat(R"("logprobs":true,"top_logprobs":21)") == "invalid_value top_logprobs");
    CHECK(refused_chat(R"("top_logprobs":2)") == "invalid_value top_logprobs");
    CHECK(refused_chat(R"("logprobs":false,"top_logprobs":2)") == "invalid_value top_logprobs");
    const AnswerRequest none = completion(R"("logprobs":0)");
    CHECK(none.submit.want_logprobs);
    CHECK(none.submit.top_logprobs == 0);
    CHECK(refused_completion(R"("logprobs":21)") == "invalid_value logprobs");
    CHECK(completion(R"("logprobs":2,"echo":true)").submit.echo);
}

TEST_CASE("stream_options need a stream and have known members") {
    CHECK(refused_chat(R"("stream_options":{"include_usage":true})") ==
          "invalid_value stream_options");
    CHECK(refused_chat(R"("stream":true,"stream_options":{})") == "accepted");
    CHECK(refused_chat(R"("stream":true,"stream_options":{"include_obfuscation":false})") ==
          "accepted");
    CHECK(refused_chat(R"("stream":true,"stream_options":[])") == "invalid_value stream_options");
    CHECK(refused_chat(R"("stream":true,"stream_options":{"include_usage":1})") ==
          "invalid_value stream_options.include_usage");
    CHECK(refused_chat(R"("stream":true,"stream_options":{"x":1})") ==
          "unknown_parameter stream_options.x");
}

TEST_CASE("fields that don't change the answer are accepted") {
    for (const char* field :
         {R"("user":"u")", R"("metadata":{"a":"b"})", R"("store":false)",
          R"("safety_identifier":"s")", R"("prompt_cache_key":"k")",
          R"("prompt_cache_retention":"24h")", R"("prompt_cache_options":{})",
          R"("service_tier":"auto")", R"("prediction":{"type":"content","content":"x"})",
          R"("n":1)", R"("presence_penalty":0)", R"("frequency_penalty":0.0)", R"("logit_bias":{})",
          R"("tools":[])", R"("tool_choice":"none")", R"("response_format":{"type":"text"})",
          R"("modalities":["text"])", R"("verbosity":"medium")", R"("parallel_tool_calls":true)"}) {
        CAPTURE(field);
        CHECK(refused_chat(field) == "accepted");
    }
    CHECK(refused_completion(R"("best_of":1)") == "accepted");
    CHECK(refused_completion(R"("suffix":"")") == "accepted");
}

TEST_CASE("penalties and biases reach the worker, up to a limit of biases") {
    const AnswerRequest request =
        chat(R"("presence_penalty":0.5,"frequency_penalty":-0.25,"repetition_penalty":1.5,)"
             R"("logit_bias":{"7":-100,"50256":2.5})");
    CHECK(request.submit.presence_penalty == 0.5F);
    CHECK(request.submit.frequency_penalty == -0.25F);
    CHECK(request.submit.repetition_penalty == 1.5F);
    REQUIRE(request.submit.logit_bias.size() == 2);
    CHECK(request.submit.logit_bias[1].token == 50256);
    CHECK(request.submit.logit_bias[1].bias == 2.5F);
    std::string entries;
    for (uint32_t i = 0; i < kLogitBiasMax; ++i) {
        entries += (i == 0 ? "" : ",") + ("\"" + std::to_string(i) + "\":1");
    }
    CHECK(refused_chat("\"logit_bias\":{" + entries + "}") == "accepted");
    CHECK(refused_chat("\"logit_bias\":{" + entries + ",\"4096\":1}") ==
          "invalid_value logit_bias");
}

TEST_CASE("fields that would change the answer are refused by name") {
    const auto unsupported = [](const std::string& field, const std::string& name) {
        CAPTURE(field);
        CHECK(refused_chat(field) == "unsupported_parameter " + name);
    };
    unsupported(R"("tools":[{"type":"function"}])", "tools");
    unsupported(R"("tool_choice":"required")", "tool_choice");
    unsupported(R"("functions":[{}])", "functions");
    unsupported(R"("response_format":{"type":"json_object"})", "response_format");
    unsupported(R"("audio":{})", "audio");
    unsupported(R"("modalities":["text","audio"])", "modalities");
    unsupported(R"("web_search_options":{})", "web_search_options");
    unsupported(R"("store":true)", "store");
    unsupported(R"("reasoning_effort":"high")", "reasoning_effort");
    unsupported(R"("verbosity":"low")", "verbosity");
    CHECK(refused_chat(R"("n":2)") == "unsupported_value n");
    CHECK(refused_completion(R"("best_of":2)") == "unsupported_value best_of");
    CHECK(refused_completion(R"("suffix":"x")") == "unsupported_parameter suffix");
}

TEST_CASE("unknown fields are refused, and so are those of the other route") {
    CHECK(refused_chat(R"("temprature":1)") == "unknown_parameter temprature");
    CHECK(refused_chat(R"("temprature":null)") == "unknown_parameter temprature");
    CHECK(refused_chat(R"("prompt":"x")") == "unknown_parameter prompt");
    CHECK(refused_chat(R"("echo":true)") == "unknown_parameter echo");
    CHECK(refused_completion(R"("messages":[])") == "unknown_parameter messages");
    CHECK(refused_completion(R"("top_logprobs":1)") == "unknown_parameter top_logprobs");
}

TEST_CASE("a body that is not one JSON object without doubled keys is refused") {
    CHECK(refused_body("") == "invalid_json ");
    CHECK(refused_body("[]") == "invalid_json ");
    CHECK(refused_body("null") == "invalid_json ");
    CHECK(refused_body("{") == "invalid_json ");
    CHECK(refused_body(R"({"model":"a","model":"b"})") == "invalid_json ");
    CHECK(refused_body("{\"model\":\"\xff\"}") == "invalid_json ");
    CHECK(refused_body(R"({"model":"a"} x)") == "invalid_json ");
    CHECK(refused_body(R"({"messages":)" + std::string(100, '[') + std::string(100, ']') + "}") ==
          "invalid_json ");
}

TEST_CASE("the model's name must be there, and may be any that is not too long") {
    CHECK(refused_body(R"({"messages":[{"role":"user","content":"x"}]})") ==
          "missing_required_parameter model");
    CHECK(refused_body(R"({"model":7,"messages":[]})") == "invalid_value model");
    CHECK(refused_body(R"({"model":"","messages":[]})") == "invalid_value model");
    const auto named = [](size_t bytes) {
        return refused_body(R"({"model":")" + std::string(bytes, 'm') +
                            R"(","messages":[{"role":"user","content":"x"}]})");
    };
    CHECK(named(kModelNameBytesMax) == "accepted");
    CHECK(named(kModelNameBytesMax + 1) == "invalid_value model");
}

TEST_CASE("messages of every role reach the template, developer as system") {
    CHECK(messages_text(R"([{"role":"developer","content":"a"},{"role":"system","content":"b"},)"
                        R"({"role":"user","content":"c","name":"n"},)"
                        R"({"role":"assistant","content":"d"},)"
                        R"({"role":"tool","content":"e","tool_call_id":"t"}])") ==
          R"({"messages":[{"role":"system","content":"a"},{"role":"system","content":"b"},)"
          R"({"role":"user","content":"c","name":"n"},{"role":"assistant","content":"d"},)"
          R"({"role":"tool","content":"e","tool_call_id":"t"}],"add_generation_prompt":true})");
}

TEST_CASE("text parts are joined by line breaks") {
    CHECK(messages_text(R"([{"role":"user","content":[{"type":"text","text":"a"},)"
                        R"({"type":"text","text":"b"}]}])") ==
          R"({"messages":[{"role":"user","content":"a\nb"}],"add_generation_prompt":true})");
}

TEST_CASE("an assistant's message as clients send it back is accepted") {
    CHECK(messages_text(R"([{"role":"assistant","content":null,"refusal":null,"annotations":[],)"
                        R"("audio":null,"tool_calls":null}])") ==
          R"({"messages":[{"role":"assistant","content":""}],"add_generation_prompt":true})");
}

TEST_CASE("messages that can't be honoured are refused by name") {
    CHECK(refused_messages("[]") == "invalid_value messages");
    CHECK(refused_messages("\"hi\"") == "invalid_value messages");
    CHECK(refused_messages("null") == "missing_required_parameter messages");
    CHECK(refused_messages("[7]") == "invalid_value messages[0]");
    CHECK(refused_messages(R"([{"content":"x"}])") ==
          "missing_required_parameter messages[0].role");
    CHECK(refused_messages(R"([{"role":"user"}])") ==
          "missing_required_parameter messages[0].content");
    CHECK(refused_messages(R"([{"role":"function","content":"x"}])") ==
          "invalid_value messages[0].role");
    CHECK(refused_messages(R"([{"role":"user","content":7}])") ==
          "invalid_value messages[0].content");
    CHECK(refused_messages(R"([{"role":"user","content":[]}])") ==
          "invalid_value messages[0].content");
    CHECK(refused_messages(R"([{"role":"user","content":[{"type":"image_url"}]}])") ==
          "unsupported_value messages[0].content[0].type");
    CHECK(refused_messages(R"([{"role":"user","content":[{"type":"text"}]}])") ==
          "invalid_value messages[0].content[0].text");
    CHECK(refused_messages(R"([{"role":"assistant","content":"x","tool_calls":[{}]}])") ==
          "unsupported_parameter messages[0].tool_calls");
    CHECK(refused_messages(
              R"([{"role":"user","content":"x"},{"role":"user","content":"x","y":1}])") ==
          "unknown_parameter messages[1].y");
    CHECK(refused_messages(R"([{"role":"user","content":"x","name":1}])") ==
          "invalid_value messages[0].name");
}

TEST_CASE("a prompt is a text, token ids, or an array of one of these") {
    const auto submit = [](const std::string& prompt) {
        auto parsed = parse_answer_request(R"({"model":"smol","prompt":)" + prompt + "}",
                                           AnswerKind::kCompletion, kSeed);
        REQUIRE(std::holds_alternative<AnswerRequest>(parsed));
        return std::get<AnswerRequest>(parsed).submit;
    };
    CHECK(submit(R"("")").text.empty());
    CHECK(submit(R"(["one"])").text == "one");
    CHECK(submit("[1,2,3]").kind == PromptKind::kTokens);
    CHECK(submit("[1,2,3]").tokens == std::vector<int32_t>{1, 2, 3});
    CHECK(submit("[[4,5]]").tokens == std::vector<int32_t>{4, 5});
}

TEST_CASE("other prompts are refused, several as unsupported") {
    CHECK(refused_prompt("null") == "missing_required_parameter prompt");
    CHECK(refused_prompt("[]") == "invalid_value prompt");
    CHECK(refused_prompt("[[]]") == "invalid_value prompt");
    CHECK(refused_prompt("7") == "invalid_value prompt");
    CHECK(refused_prompt("{}") == "invalid_value prompt");
    CHECK(refused_prompt("[1,-1]") == "invalid_value prompt");
    CHECK(refused_prompt("[1,2147483648]") == "invalid_value prompt");
    CHECK(refused_prompt(R"([1,"a"])") == "invalid_value prompt");
    CHECK(refused_prompt("[1.5]") == "invalid_value prompt");
    CHECK(refused_prompt(R"(["a","b"])") == "unsupported_value prompt");
    CHECK(refused_prompt("[[1],[2]]") == "unsupported_value prompt");
}
