#include "daemon/openai_logprobs.h"

#include <doctest/doctest.h>

#include <limits>
#include <string>

using namespace rekindle;          // NOLINT(google-build-using-namespace): test file.
using namespace rekindle::daemon;  // NOLINT(google-build-using-namespace): test file.

namespace {

LogprobItem item(std::string bytes, float logprob) {
    return LogprobItem{.bytes = std::move(bytes), .logprob = logprob};
}

}  // namespace

TEST_CASE("what JSON can't say of a probability is -9999, and none is null") {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    constexpr float kNone = std::numeric_limits<float>::quiet_NaN();
    std::string chat;
    append_chat_logprobs(chat, {item("a", -kInfinity)});
    CHECK(chat == R"({"content":[{"token":"a","logprob":-9999,"bytes":[97],"top_logprobs":[]}],)"
                  R"("refusal":null})");
    std::string completion;
    uint64_t offset = 0;
    append_completion_logprobs(completion, {item("a", kNone), item("b", -1e30F)}, offset);
    CHECK(completion == R"({"tokens":["a","b"],"token_logprobs":[null,-9999],)"
                        R"("top_logprobs":[null,{}],"text_offset":[0,1]})");
}

TEST_CASE("a token that is part of a character keeps its bytes") {
    std::string chat;
    append_chat_logprobs(chat, {item("\xe2\x82", -1.25F)});
    CHECK(chat ==
          "{\"content\":[{\"token\":\"\xef\xbf\xbd\",\"logprob\":-1.25,\"bytes\":[226,130],"
          "\"top_logprobs\":[]}],\"refusal\":null}");
}

TEST_CASE("offsets count characters and go on from event to event") {
    uint64_t offset = 0;
    std::string first;
    append_completion_logprobs(first, {item("\xc3\xa9t", -1), item("\xc3\xa9", -1)}, offset);
    CHECK(first.find(R"("text_offset":[0,2]})") != std::string::npos);
    std::string second;
    append_completion_logprobs(second, {item("x", -1)}, offset);
    CHECK(second.find(R"("text_offset":[3]})") != std::string::npos);
}

TEST_CASE("alternatives with the same text are one member, the likelier") {
    LogprobItem token = item("a", -1);
    token.top = {item("\xff", -1), item("\xfe", -2), item("b", -3)};
    std::string out;
    uint64_t offset = 0;
    append_completion_logprobs(out, {token}, offset);
    CHECK(out.find("\"top_logprobs\":[{\"\xef\xbf\xbd\":-1,\"b\":-3}]") != std::string::npos);
}
