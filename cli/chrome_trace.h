// A trace as Perfetto and chrome://tracing read it: the JSON form of the Trace Event Format. A
// track for the request's steps, one for each phase that overlaps them, one for what is read, one
// for the worker's layers, and a counter of the bytes that have arrived. A pure function.
#pragma once
#include "base/json.h"

#include <string>

namespace rekindle::cli {

std::string chrome_trace(const json::object& trace);

}  // namespace rekindle::cli
