// The key that the command line sends: from a file or the environment, never from the command line,
// where other users of the machine could read it. Threading: the main thread.
#pragma once
#include "base/result.h"

#include <string>
#include <string_view>

namespace rekindle::cli {

inline constexpr const char* kKeyVariable = "REKINDLE_API_KEY";

// What of `text` is a key: without surrounding white space. kInvalidArgument for nothing, several
// lines, or what can't stand in a header; the error names `where`, not the text.
Result<std::string> clean_key(std::string_view text, std::string_view where);

// Of `key_file` unless it is empty ("-" is no file), then of the environment; empty without either.
Result<std::string> find_api_key(const std::string& key_file);

}  // namespace rekindle::cli
