#include "cli/timeline.h"

#include "base/units.h"
#include "cli/api.h"
#include "cli/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

namespace rekindle::cli {

namespace {

constexpr size_t kBarMin = 10;  // A narrower one says nothing.
constexpr size_t kFrame = 4;    // Two spaces and a line at each end.

// What a cell of a bar shows; later ones hide earlier ones.
enum class Cell : size_t { kNothing, kReading, kWaiting, kComputing };

std::string_view glyph(Cell cell, bool unicode) {
    constexpr std::string_view kPlain[] = {" ", "-", ".", "#"};
    constexpr std::string_view kUnicode[] = {" ", "─", "░", "█"};
    const auto index = static_cast<size_t>(cell);
    return unicode ? kUnicode[index] : kPlain[index];
}

class Bar {
public:
    Bar(double total_ms, size_t width) : total_ms_(total_ms), cells_(width, Cell::kNothing) {}

    // What happened shows, however short it was.
    void add(double start_ms, double end_ms, Cell cell) {
        const size_t begin = std::min(at(start_ms), cells_.size() - 1);
        const size_t end = std::clamp(at(end_ms), begin + 1, cells_.size());
        for (size_t i = begin; i < end; ++i) {
            cells_[i] = std::max(cells_[i], cell);
        }
    }

    std::string text(bool unicode) const {
        std::string out = "|";
        for (const Cell cell : cells_) {
            out += glyph(cell, unicode);
        }
        return out + "|";
    }

private:
    size_t at(double ms) const {
        const double share = total_ms_ > 0 ? std::clamp(ms / total_ms_, 0.0, 1.0) : 0;
        return static_cast<size_t>(std::floor(share * static_cast<double>(cells_.size())));
    }

    const double total_ms_;
    std::vector<Cell> cells_;
};

std::string ms_text(double ms) {
    return fmt::format("{:.2f} ms", ms);
}

size_t bar_width(size_t columns, size_t text_width) {
    return columns >= text_width + kFrame + kBarMin ? columns - text_width - kFrame : 0;
}

TraceLayer layer_of(const json::object& shown, double reading_since_ms) {
    TraceLayer layer;
    layer.name = text_member(shown, "layer");
    layer.bytes = count_member(shown, "bytes");
    const json::value* arrived = shown.if_contains("arrived_ms");
    layer.read = arrived != nullptr && arrived->is_number();
    layer.arrived_ms = number_member(shown, "arrived_ms");
    layer.read_ms = std::min(reading_since_ms, layer.arrived_ms);
    layer.start_ms = number_member(shown, "start_ms");
    layer.asked_ms = layer.start_ms - number_member(shown, "wait_ms");
    layer.end_ms = number_member(shown, "end_ms");
    return layer;
}

std::string layer_row(const TraceLayer& layer, size_t name_width, size_t number_width) {
    return fmt::format("{:<{}}  {:>9}  {:>{}}  {:>{}}  {:>{}}", printable(layer.name), name_width,
                       format_bytes(layer.bytes), layer.read ? ms_text(layer.arrived_ms) : "-",
                       number_width, ms_text(layer.start_ms - layer.asked_ms), number_width,
                       ms_text(layer.end_ms - layer.start_ms), number_width);
}

std::string layer_bar(const TraceLayer& layer, Bar bar, bool unicode) {
    if (layer.read) {
        bar.add(layer.read_ms, layer.arrived_ms, Cell::kReading);
    }
    if (layer.start_ms > layer.asked_ms) {
        bar.add(layer.asked_ms, layer.start_ms, Cell::kWaiting);
    }
    bar.add(layer.start_ms, layer.end_ms, Cell::kComputing);
    return bar.text(unicode);
}

}  // namespace

double number_member(const json::object& object, std::string_view key) {
    const json::value* value = object.if_contains(key);
    return value != nullptr && value->is_number() ? value->to_number<double>() : 0;
}

std::vector<TracePhase> phases_of(const json::object& trace) {
    std::vector<TracePhase> phases;
    const json::value* list = trace.if_contains("phases");
    if (list == nullptr || !list->is_array()) {
        return phases;
    }
    for (const json::value& item : list->get_array()) {
        if (const auto* phase = item.if_object()) {
            phases.push_back({text_member(*phase, "phase"), number_member(*phase, "start_ms"),
                              number_member(*phase, "end_ms")});
        }
    }
    return phases;
}

std::vector<TraceLayer> layers_of(const json::object& trace) {
    std::vector<TraceLayer> layers;
    const json::value* list = trace.if_contains("layers");
    if (list == nullptr || !list->is_array()) {
        return layers;
    }
    double reading_since_ms = 0;
    for (const TracePhase& phase : phases_of(trace)) {
        reading_since_ms = phase.name == "restore" ? phase.start_ms : reading_since_ms;
    }
    for (const json::value& item : list->get_array()) {
        if (const auto* shown = item.if_object()) {
            layers.push_back(layer_of(*shown, reading_since_ms));
            reading_since_ms = std::max(reading_since_ms, layers.back().arrived_ms);
        }
    }
    return layers;
}

std::string draw_phases(const json::object& trace, const TimelineStyle& style) {
    const std::vector<TracePhase> phases = phases_of(trace);
    double total_ms = 0;
    size_t name_width = 5;
    for (const TracePhase& phase : phases) {
        total_ms = std::max(total_ms, phase.end_ms);
        name_width = std::max(name_width, phase.name.size());
    }
    const size_t number_width = std::max(ms_text(total_ms).size(), size_t{5});
    const size_t width = bar_width(style.columns, name_width + 2 * (number_width + 2));
    std::string out = fmt::format("\n{:<{}}  {:>{}}  {:>{}}\n", "PHASE", name_width, "START",
                                  number_width, "TIME", number_width);
    for (const TracePhase& phase : phases) {
        fmt::format_to(std::back_inserter(out), "{:<{}}  {:>{}}  {:>{}}", printable(phase.name),
                       name_width, ms_text(phase.start_ms), number_width,
                       ms_text(phase.end_ms - phase.start_ms), number_width);
        if (width > 0) {
            Bar bar(total_ms, width);
            bar.add(phase.start_ms, phase.end_ms, Cell::kComputing);
            out += "  " + bar.text(style.unicode);
        }
        out += "\n";
    }
    return out;
}

// The scale ends with the last layer: an answer that takes long does not squeeze its cold start.
std::string draw_layers(const json::object& trace, const TimelineStyle& style) {
    const std::vector<TraceLayer> layers = layers_of(trace);
    if (layers.empty()) {
        return {};
    }
    double total_ms = 0;
    size_t name_width = 5;
    for (const TraceLayer& layer : layers) {
        total_ms = std::max({total_ms, layer.arrived_ms, layer.end_ms});
        name_width = std::max(name_width, layer.name.size());
    }
    const size_t number_width = std::max(ms_text(total_ms).size(), size_t{8});
    const std::string head =
        fmt::format("{:<{}}  {:>9}  {:>{}}  {:>{}}  {:>{}}", "LAYER", name_width, "BYTES",
                    "ARRIVED", number_width, "WAITED", number_width, "COMPUTED", number_width);
    const size_t width = bar_width(style.columns, head.size());
    std::string out = "\n" + head + "\n";
    for (const TraceLayer& layer : layers) {
        out += layer_row(layer, name_width, number_width);
        out +=
            width == 0 ? "\n" : "  " + layer_bar(layer, Bar(total_ms, width), style.unicode) + "\n";
    }
    if (width > 0) {
        fmt::format_to(std::back_inserter(out), "{} read  {} waited for  {} computed; 0 to {}\n",
                       glyph(Cell::kReading, style.unicode), glyph(Cell::kWaiting, style.unicode),
                       glyph(Cell::kComputing, style.unicode), ms_text(total_ms));
    }
    return out;
}

}  // namespace rekindle::cli
