#include "daemon/openai_errors.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace rekindle;          // NOLINT(google-build-using-namespace): test file.
using namespace rekindle::daemon;  // NOLINT(google-build-using-namespace): test file.

TEST_CASE("each error code has this status, type, code and rule about trying again") {
    struct Row {
        ErrorCode code;
        int status;
        std::string type;
        std::string name;
        std::string retry;
    };

    const std::vector<Row> rows{
        {ErrorCode::kInvalidArgument, 400, "invalid_request_error", "invalid_value", ""},
        {ErrorCode::kUnauthorized, 401, "authentication_error", "invalid_api_key", ""},
        {ErrorCode::kForbidden, 403, "permission_error", "forbidden", ""},
        {ErrorCode::kNotFound, 404, "invalid_request_error", "not_found", ""},
        {ErrorCode::kAlreadyExists, 409, "invalid_request_error", "already_exists", "false"},
        {ErrorCode::kConflict, 409, "invalid_request_error", "conflict", "false"},
        {ErrorCode::kTooLarge, 413, "invalid_request_error", "too_large", ""},
        {ErrorCode::kUnsupported, 400, "invalid_request_error", "unsupported_value", ""},
        {ErrorCode::kTruncated, 400, "invalid_request_error", "truncated", ""},
        {ErrorCode::kCorrupt, 500, "server_error", "corrupt", ""},
        {ErrorCode::kRateLimited, 429, "rate_limit_error", "rate_limit_exceeded", "true"},
        {ErrorCode::kBudgetExhausted, 429, "insufficient_quota", "insufficient_quota", "false"},
        {ErrorCode::kOverloaded, 503, "server_error", "overloaded", "true"},
        {ErrorCode::kUnavailable, 503, "server_error", "unavailable", "true"},
        {ErrorCode::kDeadline, 504, "server_error", "timeout", ""},
        {ErrorCode::kCancelled, 503, "server_error", "cancelled", "true"},
        {ErrorCode::kResourceExhausted, 503, "server_error", "resource_exhausted", "true"},
        {ErrorCode::kNoSpace, 507, "server_error", "no_space", "false"},
        {ErrorCode::kIo, 500, "server_error", "io_error", ""},
        {ErrorCode::kInternal, 500, "server_error", "internal_error", ""},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        const ApiError error = api_error(Error{row.code, "why"});
        CHECK(error.status == row.status);
        CHECK(error.type == row.type);
        CHECK(error.code == row.name);
        CHECK(error.message == "why");
        CHECK(error.param.empty());
        const std::string retry =
            error.should_retry ? (*error.should_retry ? "true" : "false") : "";
        CHECK(retry == row.retry);
        CHECK(error.retry_after.has_value() == (row.retry == "true"));
    }
    CHECK(rows.size() == static_cast<size_t>(ErrorCode::kInternal) + 1);
}

TEST_CASE("an error about the prompt or the messages names them") {
    CHECK(api_error(Error{ErrorCode::kInvalidArgument, "prompt: has no tokens"}).param == "prompt");
    CHECK(api_error(Error{ErrorCode::kInvalidArgument, "messages: no template"}).param ==
          "messages");
    CHECK(api_error(Error{ErrorCode::kInvalidArgument, "prompts are nice"}).param.empty());
}

TEST_CASE("an error's JSON is OpenAI's, with everything escaped") {
    CHECK(error_json(invalid_value("a", "say \"b\"\n\x01")) ==
          "{\"error\":{\"message\":\"say \\\"b\\\"\\n\\u0001\",\"type\":\"invalid_request_error\","
          "\"param\":\"a\",\"code\":\"invalid_value\"}}");
    CHECK(error_json(http_error(404, "unknown_url", "x")) ==
          R"({"error":{"message":"x","type":"invalid_request_error","param":null,)"
          R"("code":"unknown_url"}})");
}
