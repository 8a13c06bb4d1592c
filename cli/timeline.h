// The times of a trace for people: its phases, and the layers of a cold start, as bars below each
// other on one scale. Pure functions.
#pragma once
#include "base/json.h"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace rekindle::cli {

struct TimelineStyle {
    size_t columns = 80;
    bool unicode = false;  // Else bars of ASCII.
};

// Numbers as the daemon sends them; 0 for what is absent or null.
double number_member(const json::object& object, std::string_view key);

struct TracePhase {
    std::string name;
    double start_ms = 0;
    double end_ms = 0;
};

std::vector<TracePhase> phases_of(const json::object& trace);

// A part of a model in a cold start: its weights were read, waited for, computed with.
struct TraceLayer {
    std::string name;
    uint64_t bytes = 0;
    bool read = false;      // Else it was in memory before, and the next two say nothing.
    double read_ms = 0;     // The part before it had arrived,
    double arrived_ms = 0;  // and it had.
    double asked_ms = 0;    // The worker wanted to begin,
    double start_ms = 0;    // began,
    double end_ms = 0;      // and was done.
};

// Empty when the trace has none.
std::vector<TraceLayer> layers_of(const json::object& trace);

// At most `columns` wide, but never narrower than their numbers; bars are left out where there is
// no room for them. Nothing for a trace without layers.
std::string draw_phases(const json::object& trace, const TimelineStyle& style);
std::string draw_layers(const json::object& trace, const TimelineStyle& style);

}  // namespace rekindle::cli
