// JSON written straight into text, for answers that are built a token at a time.
#pragma once
#include <string>
#include <string_view>

namespace rekindle::daemon::api {

// Appends `text` with quotes and escapes. `text` is valid UTF-8.
void append_json_string(std::string& out, std::string_view text);
// Appends a float in its shortest form; what JSON can't say (infinities, NaN) as -9999, which is
// what OpenAI's API gives for impossible tokens.
void append_json_logprob(std::string& out, float value);

}  // namespace rekindle::daemon::api
