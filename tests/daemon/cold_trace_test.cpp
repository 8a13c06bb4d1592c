#include "daemon/cold_trace.h"

#include <doctest/doctest.h>

#include <chrono>

using namespace rekindle;
using namespace rekindle::daemon;
using namespace std::chrono_literals;

namespace {

constexpr Nanoseconds kWoken = 1s;

uint64_t at(Nanoseconds since_wake) {
    return static_cast<uint64_t>((kWoken + since_wake).count());
}

// Two layers; the first one's bytes begin in the chunk where the embedding's end.
FirstPassFrame two_layers() {
    return {{{0, 150, at(1ms), at(3ms), at(4ms)},
             {150, 100, at(4ms), at(6ms), at(7ms)},
             {250, 50, at(7ms), at(9ms), at(10ms)},
             {300, 10, at(10ms), at(10ms), at(12ms)}}};
}

snapshot::ChunkArrivals three_chunks() {
    using snapshot::ChunkArrival;
    return std::make_shared<const std::vector<ChunkArrival>>(
        std::vector<ChunkArrival>{{0, 100, kWoken + 2ms},
                                  {100, 100, kWoken + 3ms},
                                  {200, 100, kWoken + 5ms},
                                  {300, 100, kWoken + 4ms}});
}

double arrived(const json::array& layers, size_t layer) {
    return layers.at(layer).at("arrived_ms").to_number<double>();
}

}  // namespace

TEST_CASE("a part has arrived when the last chunk that it lies in has") {
    ColdTrace trace(kWoken);
    trace.restored(three_chunks());
    trace.computed(two_layers(), kWoken + 20ms);
    const json::array layers = trace.layers(kWoken);
    CHECK(arrived(layers, 0) == 3);
    CHECK(arrived(layers, 1) == 5);
    CHECK(arrived(layers, 2) == 5);
    CHECK(arrived(layers, 3) == 4);
    CHECK(layers.at(0).at("layer") == "embedding");
    CHECK(layers.at(1).at("layer") == "0");
    CHECK(layers.at(3).at("layer") == "head");
    CHECK(layers.at(1).at("start_ms") == 6.0);
    CHECK(layers.at(1).at("wait_ms") == 2.0);
    CHECK(layers.at(1).at("end_ms") == 7.0);
    CHECK(layers.at(1).at("bytes") == 100);
}

TEST_CASE("it does not matter whether the last chunk or the worker's report comes first") {
    ColdTrace late(kWoken);
    late.computed(two_layers(), kWoken + 20ms);
    CHECK(late.layers(kWoken).at(0).at("arrived_ms").is_null());
    late.restored(three_chunks());
    ColdTrace early(kWoken);
    early.restored(three_chunks());
    early.computed(two_layers(), kWoken + 20ms);
    CHECK(late.layers(kWoken) == early.layers(kWoken));
}

TEST_CASE("an image that was in memory has arrivals of no layer") {
    ColdTrace trace(kWoken);
    trace.restored(nullptr);
    trace.computed(two_layers(), kWoken + 20ms);
    CHECK(trace.layers(kWoken).at(2).at("arrived_ms").is_null());
}

TEST_CASE("a worker's moments are kept between the wake and its report") {
    ColdTrace trace(kWoken);
    constexpr uint64_t kNever = ~uint64_t{0};
    trace.computed({{{0, 1, 0, at(1ms), kNever}, {1, 1, kNever, kNever, kNever}}}, kWoken + 5ms);
    const json::array layers = trace.layers(kWoken);
    CHECK(layers.at(0).at("wait_ms") == 1.0);
    CHECK(layers.at(0).at("end_ms") == 5.0);
    CHECK(layers.at(1).at("start_ms") == 5.0);
    CHECK(layers.at(1).at("end_ms") == 5.0);
}

TEST_CASE("a prompt is held up by the first layer from when it was let through") {
    ColdTrace trace(kWoken);
    CHECK(trace.first_layer_wait(kWoken) == 0ms);
    trace.computed(two_layers(), kWoken + 20ms);
    CHECK(trace.first_layer_wait(kWoken) == 4ms);
    CHECK(trace.first_layer_wait(kWoken + 5ms) == 1ms);
    CHECK(trace.first_layer_wait(kWoken + 7ms) == 0ms);
}
