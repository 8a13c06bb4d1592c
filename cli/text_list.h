// A list of strings in the daemon's JSON. Threading: none.
#pragma once
#include "base/json.h"

#include <string>
#include <string_view>
#include <vector>

namespace rekindle::cli {

// The strings of the array member `key`, whatever else is in it left out; empty when there is none.
std::vector<std::string> text_list(const json::object& object, std::string_view key);

}  // namespace rekindle::cli
