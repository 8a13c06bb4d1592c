#include "daemon/request_rules.h"

#include "daemon/openai_request.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <variant>

using namespace rekindle;          // NOLINT(google-build-using-namespace): test file.
using namespace rekindle::daemon;  // NOLINT(google-build-using-namespace): test file.

namespace {

RequestRuleBook book_of(const std::string& more) {
    const auto manifest = api::parse_manifest("rekindle: 1\nname: m\nmodel: f\n" + more);
    REQUIRE_MESSAGE(manifest.ok(), manifest.error().message);
    return {{"m", std::make_shared<const api::RequestRules>(manifest->rules)}};
}

std::variant<AnswerRequest, ApiError> parsed(const RequestRuleBook& book, const std::string& fields,
                                             AnswerKind kind = AnswerKind::kChat) {
    const std::string content = kind == AnswerKind::kChat
                                    ? R"("messages":[{"role":"user","content":"x"}])"
                                    : R"("prompt":"x")";
    return parse_answer_request(R"({"model":"m",)" + content + fields + "}", kind, 1, &book);
}

SubmitFrame accepted(const RequestRuleBook& book, const std::string& fields,
                     AnswerKind kind = AnswerKind::kChat) {
    const auto request = parsed(book, fields, kind);
    REQUIRE(std::holds_alternative<AnswerRequest>(request));
    return std::get<AnswerRequest>(request).submit;
}

}  // namespace

TEST_CASE("a default is for requests that say nothing") {
    const auto book = book_of("defaults: {temperature: 0.5, stop: END, seed: 7}\n");
    CHECK(accepted(book, "").temperature == 0.5F);
    CHECK(accepted(book, "").stop == std::vector<std::string>{"END"});
    CHECK(accepted(book, "").seed == 7);
    CHECK(accepted(book, R"(,"temperature":null)").temperature == 0.5F);
    CHECK(accepted(book, R"(,"temperature":1.5)").temperature == 1.5F);
}

TEST_CASE("what is forced holds whatever the request says, even if it is nonsense") {
    const auto book = book_of("force: {temperature: 0, top_k: -1}\n");
    CHECK(accepted(book, R"(,"temperature":1.5,"top_k":3)").temperature == 0);
    CHECK(accepted(book, R"(,"temperature":"hot")").temperature == 0);
    CHECK(accepted(book, R"(,"top_k":3)").top_k == 0);
}

TEST_CASE("stripped fields are gone before anything looks at them; a default may fill the gap") {
    const auto book = book_of("strip: [verbosity, temperature]\ndefaults: {temperature: 0.25}\n");
    CHECK(accepted(book, R"(,"verbosity":"low","temperature":2)").temperature == 0.25F);
    const auto none = book_of("");
    CHECK(std::holds_alternative<ApiError>(parsed(none, R"(,"verbosity":"low")")));
}

TEST_CASE("an answer is at most as long as the deployment allows") {
    const auto book = book_of("admission: {max_tokens: 100}\n");
    CHECK(accepted(book, R"(,"max_tokens":100)").tokens_max == 100);
    const auto refused = parsed(book, R"(,"max_tokens":101)");
    REQUIRE(std::holds_alternative<ApiError>(refused));
    CHECK(std::get<ApiError>(refused).status == 400);
    CHECK(std::get<ApiError>(refused).param == "max_tokens");
    CHECK(std::get<ApiError>(refused).message.find("at most 100 tokens") != std::string::npos);
    const auto longer = parsed(book, R"(,"max_completion_tokens":101)");
    CHECK(std::get<ApiError>(longer).param == "max_completion_tokens");
    // A request that says nothing may get less when its prompt is long: it is no error then.
    CHECK(accepted(book, "").tokens_max == 0);
    CHECK(accepted(book, "").tokens_cap == 100);
    CHECK(accepted(book, "", AnswerKind::kCompletion).tokens_max == 16);
    const auto tight = book_of("admission: {max_tokens: 5}\n");
    CHECK(accepted(tight, "", AnswerKind::kCompletion).tokens_max == 5);
}

TEST_CASE("the rules of one model don't touch another's requests") {
    const auto book = book_of("force: {temperature: 0}\n");
    const auto request = parse_answer_request(R"({"model":"other","prompt":"x","temperature":1})",
                                              AnswerKind::kCompletion, 1, &book);
    CHECK(std::get<AnswerRequest>(request).submit.temperature == 1);
}

TEST_CASE("every field that a manifest can strip is one that the API knows") {
    for (const std::string_view name : api::strippable_request_fields()) {
        const json::object body{{name, nullptr}};
        const bool known = !check_known_fields(body, AnswerKind::kChat) ||
                           !check_known_fields(body, AnswerKind::kCompletion);
        CHECK_MESSAGE(known, name);
    }
}
