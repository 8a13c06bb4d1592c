#include "cli/chrome_trace.h"

#include "cli/api.h"
#include "cli/timeline.h"

#include <boost/json/serialize.hpp>

#include <algorithm>
#include <string_view>
#include <utility>

namespace rekindle::cli {

namespace {

constexpr double kMicroseconds = 1000;  // In a millisecond; the format counts in them.
constexpr int kProcess = 1;

// Tracks; slices of one may not overlap.
enum Track : int { kRequest = 1, kAssign, kRestore, kTokenize, kReading, kLayers };

class Events {
public:
    void name(std::string_view what, Track track, std::string_view name) {
        list_.push_back(json::object{{"name", what},
                                     {"ph", "M"},
                                     {"pid", kProcess},
                                     {"tid", static_cast<int>(track)},
                                     {"args", json::object{{"name", name}}}});
    }

    void slice(Track track, std::string_view name, double start_ms, double end_ms,
               json::object args) {
        list_.push_back(json::object{{"name", name},
                                     {"ph", "X"},
                                     {"pid", kProcess},
                                     {"tid", static_cast<int>(track)},
                                     {"ts", start_ms * kMicroseconds},
                                     {"dur", (end_ms - start_ms) * kMicroseconds},
                                     {"args", std::move(args)}});
    }

    void arrived(double at_ms, uint64_t bytes) {
        list_.push_back(json::object{{"name", "bytes in memory"},
                                     {"ph", "C"},
                                     {"pid", kProcess},
                                     {"ts", at_ms * kMicroseconds},
                                     {"args", json::object{{"bytes", bytes}}}});
    }

    json::array take() { return std::move(list_); }

private:
    json::array list_;
};

Track track_of(std::string_view phase) {
    if (phase == "assign") {
        return kAssign;
    }
    if (phase == "restore") {
        return kRestore;
    }
    return phase == "tokenize" ? kTokenize : kRequest;
}

void add_names(Events& events, const json::object& trace) {
    events.name("process_name", kRequest,
                text_member(trace, "model") + " " + text_member(trace, "id"));
    constexpr std::pair<Track, std::string_view> kNames[] = {
        {kRequest, "request"},   {kAssign, "assign"}, {kRestore, "restore"},
        {kTokenize, "tokenize"}, {kReading, "read"},  {kLayers, "worker"}};
    for (const auto& [track, name] : kNames) {
        events.name("thread_name", track, name);
    }
}

void add_layers(Events& events, const std::vector<TraceLayer>& layers) {
    uint64_t bytes = 0;
    for (const TraceLayer& layer : layers) {
        if (layer.read) {
            bytes += layer.bytes;
            events.slice(kReading, layer.name, layer.read_ms, layer.arrived_ms,
                         {{"bytes", layer.bytes}});
            events.arrived(layer.arrived_ms, bytes);
        }
        if (layer.start_ms > layer.asked_ms) {
            events.slice(kLayers, "wait", layer.asked_ms, layer.start_ms, {{"layer", layer.name}});
        }
        events.slice(kLayers, layer.name, layer.start_ms, layer.end_ms, {{"bytes", layer.bytes}});
    }
}

}  // namespace

std::string chrome_trace(const json::object& trace) {
    Events events;
    add_names(events, trace);
    for (const TracePhase& phase : phases_of(trace)) {
        events.slice(track_of(phase.name), phase.name, phase.start_ms, phase.end_ms, {});
    }
    add_layers(events, layers_of(trace));
    return json::serialize(
               json::object{{"displayTimeUnit", "ms"}, {"traceEvents", events.take()}}) +
           "\n";
}

}  // namespace rekindle::cli
