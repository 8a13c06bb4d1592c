// Bodies of the two generating routes. The first byte chooses the route. What is accepted must keep
// the bounds that the rest of the daemon relies on; what is refused must say so in valid JSON.
#include "base/check.h"
#include "base/json.h"
#include "daemon/openai_request.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <variant>

namespace {

using namespace rekindle::daemon;  // NOLINT(google-build-using-namespace): one file.

void check_accepted(const AnswerRequest& request) {
    const SubmitFrame& submit = request.submit;
    REKINDLE_CHECK(!request.model.empty() && request.model.size() <= kModelNameBytesMax,
                   "a model's name is bounded");
    REKINDLE_CHECK(submit.stop.size() <= kStopStringsMax, "stop strings are bounded");
    for (const auto& stop : submit.stop) {
        REKINDLE_CHECK(!stop.empty() && stop.size() <= kStopBytesMax, "a stop string is bounded");
    }
    REKINDLE_CHECK(submit.temperature >= 0 && submit.temperature <= 2, "temperature in range");
    REKINDLE_CHECK(submit.top_p > 0 && submit.top_p <= 1, "top_p in range");
    REKINDLE_CHECK(submit.min_p >= 0 && submit.min_p <= 1, "min_p in range");
    REKINDLE_CHECK(submit.repetition_penalty > 0, "repetition_penalty in range");
    REKINDLE_CHECK(submit.logit_bias.size() <= kLogitBiasMax, "biases are bounded");
    for (const TokenBias& entry : submit.logit_bias) {
        REKINDLE_CHECK(entry.token >= 0 && entry.bias >= -100 && entry.bias <= 100,
                       "a bias in range");
    }
    REKINDLE_CHECK(submit.top_logprobs <= kTopLogprobsMax, "top_logprobs in range");
    REKINDLE_CHECK(submit.tokens_max <= INT32_MAX, "tokens_max in range");
    for (const int32_t token : submit.tokens) {
        REKINDLE_CHECK(token >= 0, "token ids are not negative");
    }
    if (submit.kind == PromptKind::kChat) {
        const auto variables = rekindle::parse_json(submit.text, {.bytes_max = UINT64_MAX});
        REKINDLE_CHECK(variables.ok(), "what a template gets is JSON");
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) {
        return 0;
    }
    const auto kind = data[0] == 'c' ? AnswerKind::kChat : AnswerKind::kCompletion;
    const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
    const auto parsed = parse_answer_request(body, kind, 1);
    if (const auto* request = std::get_if<AnswerRequest>(&parsed)) {
        check_accepted(*request);
        return 0;
    }
    const auto& error = std::get<ApiError>(parsed);
    REKINDLE_CHECK(error.status == 400 && !error.message.empty(), "a refusal says why");
    REKINDLE_CHECK(rekindle::parse_json(error_json(error), {}).ok(), "a refusal is valid JSON");
    return 0;
}
