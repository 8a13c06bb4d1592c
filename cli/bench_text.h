// `rekindle bench` for people, out of the daemon's lines (docs/admin-api.md). Pure.
#pragma once
#include "base/json.h"

#include <string>

namespace rekindle::cli {

// "prefill 512", "8 x 128 + 128": prompts alone, or so many prompts and answers.
std::string bench_case_text(const json::object& run);
// A line for each case that was measured, once: "3/12  decode 8 x 128 + 128: 250.1 tok/s".
std::string bench_progress_text(const json::object& line);
// The table, the limits that its shares refer to, and the operations if there was a profile.
std::string bench_text(const json::object& bench);

}  // namespace rekindle::cli
