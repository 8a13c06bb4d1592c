// A request's trace for people: what it was, its phases as a waterfall, what it cost; and the
// daemon's log lines. Pure functions; what the daemon sends is made printable.
#pragma once
#include "base/json.h"
#include "base/result.h"
#include "cli/timeline.h"

#include <string>

namespace rekindle::cli {

// With its phases, and for a cold start its layers (cli/timeline.h).
std::string trace_text(const json::object& trace, const TimelineStyle& style);

// "2025-01-31T12:30:00.123Z warning worker_died model=small pid=12", with its line end.
// kInternal when the line is none of ours.
Result<std::string> log_text(const json::object& line);

}  // namespace rekindle::cli
