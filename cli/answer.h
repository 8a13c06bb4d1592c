// One answer of a model over the OpenAI routes, streamed: what `run` and `chat` share.
// Threading: one thread.
#pragma once
#include "base/json.h"
#include "base/result.h"
#include "cli/http_client.h"

#include <CLI/App.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rekindle::cli {

// Sampling options that a person may give; what is not given is the daemon's default.
struct AnswerOptions {
    std::optional<int64_t> max_tokens;
    std::optional<double> temperature;
    std::optional<double> top_p;
    std::optional<int64_t> seed;
    std::vector<std::string> stop;
    std::string system;
};

void add_answer_options(CLI::App& command, AnswerOptions& options);
// Puts what was given (but `system`) into a request's body.
void put_options(json::object& body, const AnswerOptions& options);

inline constexpr const char* kChatRoute = "/v1/chat/completions";
inline constexpr const char* kCompletionsRoute = "/v1/completions";

struct AnswerEnd {
    std::string finish_reason;  // "stop", "length"
    uint64_t prompt_tokens = 0;
    uint64_t completion_tokens = 0;
};

// Text as it arrives, whole UTF-8.
using OnText = std::function<Result<void>(std::string_view text)>;

// Sends `body` with "stream" set and calls back for each piece until the stream's terminal event.
// An error event is the result's error, as is a stream that ends without one.
Result<AnswerEnd> stream_answer(HttpClient& client, const char* route, json::object body,
                                const OnText& on_text);

// What a stream's events say, one after the other; split off from the transport for tests.
class AnswerReader {
public:
    Result<void> take_event(std::string_view data, const OnText& on_text);

    bool done() const noexcept { return done_; }

    const AnswerEnd& end() const noexcept { return end_; }

private:
    Result<void> take_choice(const json::object& choice, const OnText& on_text);

    AnswerEnd end_;
    bool done_ = false;
};

}  // namespace rekindle::cli
