// What people write on the command line, and exact sums of money. Pure functions; time is passed
// in.
#pragma once
#include "base/result.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace rekindle::cli {

// Model names: [a-z0-9][a-z0-9._-]{0,62}.
bool is_model_name(std::string_view name) noexcept;
// kInvalidArgument, with the rule, when it is none.
Result<void> check_model_name(std::string_view name);
// "…/SmolLM2-135M-Instruct.Q4_1.gguf" is "smollm2-135m-instruct.q4_1". kInvalidArgument when no
// character of the file's name can stand in a model name.
Result<std::string> derive_model_name(std::string_view path);

// A moment in Unix milliseconds: "24h" (that long ago), "2025-01-31" or "2025-01-31T12:30:00Z"
// (both UTC), "now".
Result<int64_t> parse_moment(std::string_view text, int64_t now_unix_ms);
// "2025-01-31 12:30" in UTC.
std::string format_moment(int64_t unix_s);

// Exact sum of two amounts as `format_amount` writes them; kInvalidArgument if one is no amount.
Result<std::string> add_amounts(std::string_view a, std::string_view b);

}  // namespace rekindle::cli
