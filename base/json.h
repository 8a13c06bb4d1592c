// JSON from outside, parsed with bounds by Boost.JSON, and typed access with errors that name the
// field. UTF-8 is checked; NaN, comments and trailing commas are refused; of duplicate keys the
// parse fails, because readers that disagree on which one counts are an attack.
#pragma once
#include "base/result.h"

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rekindle {

namespace json = boost::json;

struct JsonLimits {
    uint32_t depth_max = 64;
    uint64_t bytes_max = 16ULL << 20;
};

// kTooLarge beyond bytes_max, kInvalidArgument with the byte offset for anything malformed.
Result<json::value> parse_json(std::string_view text, const JsonLimits& limits);

// Typed access to a member. Absent or null: std::nullopt. Wrong type or range: kInvalidArgument,
// "<key>: must be …".
Result<std::optional<std::string>> get_string(const json::object& object, std::string_view key);
Result<std::optional<bool>> get_bool(const json::object& object, std::string_view key);
Result<std::optional<double>> get_number(const json::object& object, std::string_view key);
Result<std::optional<int64_t>> get_integer(const json::object& object, std::string_view key);

}  // namespace rekindle
