// One spelling for each JSON value, so that a digest of it means something: keys sorted by bytes,
// no white space, numbers in their shortest form; and the same value as YAML for people. Pure.
#pragma once
#include "base/json.h"

#include <string>

namespace rekindle::daemon::api {

std::string canonical_json(const json::value& value);
// Block style, keys in the order of the object; strings that another reader could take for
// something else stand in quotes.
std::string block_yaml(const json::object& object);

}  // namespace rekindle::daemon::api
