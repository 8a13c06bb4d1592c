#include "daemon/cold_trace.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

namespace rekindle::daemon {
namespace {

// What the first layer's rows pass through, and itself.
constexpr size_t kPartsToFirstLayer = 2;

std::string part_name(size_t part, size_t parts) {
    if (part == 0) {
        return "embedding";
    }
    return part + 1 == parts ? "head" : std::to_string(part - 1);
}

}  // namespace

double trace_ms(Nanoseconds time) noexcept {
    return std::chrono::duration<double, std::milli>(time).count();
}

void ColdTrace::restored(snapshot::ChunkArrivals arrivals) {
    arrivals_ = std::move(arrivals);
    date_arrivals();
}

void ColdTrace::computed(const FirstPassFrame& pass, Nanoseconds now) {
    Nanoseconds earliest = woken_at_;
    const auto next = [&earliest, now](uint64_t told_ns) {
        const Nanoseconds told(std::min<uint64_t>(told_ns, INT64_MAX));
        return earliest = std::clamp(told, earliest, now);
    };
    parts_.clear();
    for (const PartItem& item : pass.parts) {
        Part part{.offset = item.offset, .bytes = item.bytes};
        part.asked = next(item.asked_ns);
        part.there = next(item.there_ns);
        part.ended = next(item.ended_ns);
        parts_.push_back(part);
    }
    date_arrivals();
}

// A part has arrived when its last chunk has.
void ColdTrace::date_arrivals() {
    if (arrivals_ == nullptr || parts_.empty()) {
        return;
    }
    for (Part& part : parts_) {
        for (const snapshot::ChunkArrival& chunk : *arrivals_) {
            const bool of_part = part.offset < chunk.offset + chunk.bytes &&
                                 chunk.offset - std::min(chunk.offset, part.offset) < part.bytes;
            if (of_part) {
                part.arrived = std::max(part.arrived.value_or(chunk.at), chunk.at);
            }
        }
    }
    arrivals_.reset();
}

Nanoseconds ColdTrace::first_layer_wait(Nanoseconds go) const noexcept {
    Nanoseconds waited{};
    for (size_t i = 0; i < std::min(kPartsToFirstLayer, parts_.size()); ++i) {
        waited += std::max(parts_[i].there - std::max(parts_[i].asked, go), Nanoseconds{});
    }
    return waited;
}

json::array ColdTrace::layers(Nanoseconds origin) const {
    json::array out;
    for (size_t i = 0; i < parts_.size(); ++i) {
        const Part& part = parts_[i];
        json::object shown{{"layer", part_name(i, parts_.size())}, {"bytes", part.bytes}};
        shown["arrived_ms"] =
            part.arrived ? json::value(trace_ms(*part.arrived - origin)) : json::value(nullptr);
        shown["start_ms"] = trace_ms(part.there - origin);
        shown["end_ms"] = trace_ms(part.ended - origin);
        shown["wait_ms"] = trace_ms(part.there - part.asked);
        out.push_back(std::move(shown));
    }
    return out;
}

}  // namespace rekindle::daemon
