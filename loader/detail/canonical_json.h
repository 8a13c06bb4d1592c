// The canonical form of a JSON text: keys sorted by their bytes, no white space, strings escaped in
// one way, and numbers exactly as they were written, so that a digest never depends on how a
// library rounds. Threading: free function. Cost: a few times the size of the text in memory.
#pragma once
#include "base/result.h"

#include <string>
#include <string_view>

namespace rekindle::loader {

// A member of the outermost object that gets another value (already canonical).
struct JsonReplacement {
    std::string_view key;
    std::string_view value;
};

// `text` must have passed parse_json (limits, duplicate keys). `replacement` may be null.
Result<std::string> canonical_json(std::string_view text, const JsonReplacement* replacement);

}  // namespace rekindle::loader
