#include "cli/timeline.h"

#include "cli/chrome_trace.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <string>
#include <string_view>

namespace rekindle::cli {

namespace {

json::object parsed(std::string_view text) {
    return parse_json(text, JsonLimits{}).value().as_object();
}

// A worker that waits for each part, computes it, and waits for the next one.
constexpr std::string_view kCold = R"({"id":"req_1","model":"m",
    "phases":[{"phase":"gate 1","start_ms":0,"end_ms":1},
              {"phase":"restore","start_ms":2,"end_ms":10},
              {"phase":"tokenize","start_ms":2,"end_ms":3},
              {"phase":"decode","start_ms":12,"end_ms":900}],
    "layers":[
      {"layer":"embedding","bytes":1048576,"arrived_ms":4,"start_ms":4,"end_ms":5,"wait_ms":1},
      {"layer":"0","bytes":2097152,"arrived_ms":8,"start_ms":8,"end_ms":10,"wait_ms":3},
      {"layer":"head","bytes":4096,"arrived_ms":10,"start_ms":10,"end_ms":12,"wait_ms":0}]})";

}  // namespace

TEST_CASE("layers are drawn on one scale: what was read, waited for and computed") {
    CHECK(draw_layers(parsed(kCold), {.columns = 80}) ==
          "\n"
          "LAYER          BYTES   ARRIVED    WAITED  COMPUTED\n"
          "embedding    1.0 MiB   4.00 ms   1.00 ms   1.00 ms  |    --..##                |\n"
          "0            2.0 MiB   8.00 ms   3.00 ms   2.00 ms  |        --.......####     |\n"
          "head         4.0 KiB  10.00 ms   0.00 ms   2.00 ms  |                 ----#####|\n"
          "- read  . waited for  # computed; 0 to 12.00 ms\n");
}

TEST_CASE("a terminal that can gets unicode bars of the same width") {
    const std::string text = draw_layers(parsed(kCold), {.columns = 80, .unicode = true});
    CHECK(text.find("░") != std::string::npos);
    CHECK(text.find("█") != std::string::npos);
    CHECK(text.find('#') == std::string::npos);
}

TEST_CASE("layers that were in memory show no reading, and a warm request no layers") {
    json::object trace = parsed(kCold);
    for (json::value& layer : trace.at("layers").as_array()) {
        layer.as_object()["arrived_ms"] = nullptr;
    }
    const std::string text = draw_layers(trace, {.columns = 80});
    CHECK(text.find("embedding    1.0 MiB         -   1.00 ms") != std::string::npos);
    CHECK(text.find("|---") == std::string::npos);
    CHECK(text.find(" --") == std::string::npos);
    trace.erase("layers");
    CHECK(draw_layers(trace, {.columns = 80}).empty());
}

TEST_CASE("layers on a narrow terminal are numbers alone") {
    CHECK(draw_layers(parsed(kCold), {.columns = 40}).find('|') == std::string::npos);
}

TEST_CASE("a Chrome trace has every phase and layer, and no two slices of a track overlap") {
    const json::object file = parsed(chrome_trace(parsed(kCold)));
    std::map<int64_t, std::vector<std::pair<double, double>>> tracks;
    size_t slices = 0;
    std::vector<uint64_t> bytes;
    for (const json::value& item : file.at("traceEvents").as_array()) {
        const json::object& event = item.as_object();
        if (event.at("ph") == "X") {
            const auto begin = event.at("ts").to_number<double>();
            tracks[event.at("tid").as_int64()].push_back(
                {begin, begin + event.at("dur").to_number<double>()});
            ++slices;
        } else if (event.at("ph") == "C") {
            bytes.push_back(event.at("args").at("bytes").to_number<uint64_t>());
        }
    }
    CHECK(slices == 4 + 3 + 3 + 2);  // Phases, reads, layers, and the two that were waited for.
    CHECK(bytes == std::vector<uint64_t>{1048576, 3145728, 3149824});
    for (auto& [track, of_track] : tracks) {
        std::ranges::sort(of_track);
        for (size_t i = 1; i < of_track.size(); ++i) {
            CHECK(of_track[i - 1].second <= of_track[i].first);
        }
    }
}

}  // namespace rekindle::cli
