#include "daemon/instance_watch.h"

#include <doctest/doctest.h>

#include <chrono>

using namespace rekindle;
using namespace rekindle::daemon;
using namespace std::chrono_literals;

namespace {

snapshot::RestoreTimes times(bool from_memory, uint64_t read) {
    return {.bytes_read = from_memory ? 0 : read, .from_memory = from_memory};
}

struct Fixture {
    ManualClock clock;
    Watch watch{clock};
    InstanceWatch model{clock, watch, "m"};

    RequestTrace request(bool cold) const {
        return {.accepted_at = clock.monotonic(), .cold = cold};
    }

    uint64_t cold_starts(const char* tier, const char* phase) const {
        return watch.metrics.own.cold_start.count({"m", tier, phase});
    }

    // Up to its first token, with the image in `tier`.
    void wake(const RequestTrace& trace, bool from_memory) {
        model.wake_begins();
        clock.advance(1ms);
        model.worker_taken();
        clock.advance(1ms);
        model.assigned();
        model.restored(times(from_memory, 700), 1000);
        clock.advance(5ms);
        model.token_of(trace);
    }

    void step(uint32_t us) {
        model.step(StepFrame{.step_us = us, .sequences = 1, .tokens = 1, .pages_total = 4});
    }
};

constexpr RequestsNow kOne{.running = 1, .waiting = 0, .may_sample = 1};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "a cold start is counted once, with every phase") {
    wake(request(true), /*from_memory=*/false);
    for (const char* phase : {"queue", "acquire", "assign", "restore", "first_token"}) {
        CHECK(cold_starts("disk", phase) == 1);
    }
    model.token_of(request(true));
    CHECK(cold_starts("disk", "first_token") == 1);
    CHECK(watch.metrics.own.restores.value({"m", "read"}) == 1);
    CHECK(watch.metrics.own.restore_bytes.value({"disk"}) == 700);
}

TEST_CASE_FIXTURE(Fixture, "an image that was in memory is another tier") {
    wake(request(true), /*from_memory=*/true);
    CHECK(cold_starts("memory", "restore") == 1);
    CHECK(watch.metrics.own.restores.value({"m", "resident"}) == 1);
    CHECK(watch.metrics.own.restore_bytes.value({"memory"}) == 1000);
    CHECK(watch.metrics.own.restore_bytes.value({"disk"}) == 0);
}

TEST_CASE_FIXTURE(Fixture, "a model that a deployment woke has no cold start") {
    wake(request(false), /*from_memory=*/false);
    CHECK(watch.metrics.own.cold_start.series() == 0);
}

TEST_CASE_FIXTURE(Fixture, "a cold start is counted also when news of the restore comes last") {
    model.wake_begins();
    model.token_of(request(true));
    CHECK(cold_starts("disk", "first_token") == 0);
    model.restored(times(false, 1), 1);
    CHECK(cold_starts("disk", "first_token") == 1);
}

TEST_CASE_FIXTURE(Fixture, "a restore that fails is no cold start") {
    model.wake_begins();
    model.restore_failed();
    CHECK(watch.metrics.own.restores.value({"m", "failed"}) == 1);
    CHECK(watch.metrics.own.cold_start.series() == 0);
}

TEST_CASE_FIXTURE(Fixture, "idle time is that of a worker without requests") {
    model.idle(true);
    clock.advance(3s);
    model.refresh({});
    CHECK(watch.metrics.own.idle_seconds.value({"m"}) == 3'000'000'000);
    clock.advance(1s);
    model.idle(false);
    clock.advance(10s);
    model.idle(true);
    clock.advance(1s);
    model.worker_ended();
    clock.advance(60s);
    model.refresh({});
    CHECK(watch.metrics.own.idle_seconds.value({"m"}) == 5'000'000'000);
}

TEST_CASE_FIXTURE(Fixture, "use of KV pages is shown while a worker tells it") {
    model.refresh({});
    CHECK_FALSE(watch.metrics.vllm.kv_cache_usage.value({"m"}).has_value());
    model.step(StepFrame{.sequences = 1, .tokens = 1, .pages_used = 1, .pages_total = 4});
    model.refresh({});
    CHECK(watch.metrics.vllm.kv_cache_usage.value({"m"}) == 0.25);
    watch.metrics.vllm.kv_cache_usage.clear();
    model.worker_ended();
    model.refresh({});
    CHECK_FALSE(watch.metrics.vllm.kv_cache_usage.value({"m"}).has_value());
}

TEST_CASE_FIXTURE(Fixture, "sequences without a place in the batch wait") {
    model.step(StepFrame{.sequences = 1, .tokens = 1, .waiting = 3});
    model.refresh({.running = 5, .waiting = 2, .may_sample = 5});
    CHECK(watch.metrics.vllm.requests_running.value({"m"}) == 2.0);
    CHECK(watch.metrics.vllm.requests_waiting.value({"m"}) == 5.0);
}

TEST_CASE_FIXTURE(Fixture, "a model that may sample and does not is stalled after two seconds") {
    model.restored(times(true, 0), 1);
    clock.advance(2s);
    CHECK_FALSE(model.stalled(kOne).has_value());
    clock.advance(1ns);
    REQUIRE(model.stalled(kOne).has_value());
    CHECK(model.stalled(kOne)->find("model m: 1 requests, and no token") == 0);
    CHECK_FALSE(model.stalled({.running = 1}).has_value());  // The client is slow.
    step(100);
    CHECK_FALSE(model.stalled(kOne).has_value());
}

TEST_CASE_FIXTURE(Fixture, "a model of slow steps is given twenty of them") {
    model.restored(times(true, 0), 1);
    step(200'000);  // In the bucket up to 0.25 s.
    clock.advance(5s);
    CHECK_FALSE(model.stalled(kOne).has_value());
    clock.advance(1ns);
    CHECK(model.stalled(kOne).has_value());
}

TEST_CASE_FIXTURE(Fixture, "a model whose image is on its way is not stalled") {
    model.wake_begins();
    clock.advance(60s);
    CHECK_FALSE(model.stalled(kOne).has_value());
}

TEST_CASE_FIXTURE(Fixture, "steps are counted, and news without a step are none") {
    step(1000);
    model.step(StepFrame{.pages_total = 4});
    CHECK(watch.metrics.own.step_seconds.count({"m"}) == 1);
    CHECK(watch.metrics.llama.decodes.value({}) == 1);
    CHECK(watch.metrics.vllm.iteration_tokens.count({"m"}) == 1);
}

TEST_CASE_FIXTURE(Fixture, "each cold start has its own trace, and takes one first pass") {
    model.wake_begins();
    const auto first = model.cold_trace();
    CHECK(model.first_pass({.parts = {{}}}));
    CHECK_FALSE(model.first_pass({.parts = {{}}}));
    model.wake_begins();
    CHECK(model.cold_trace() != first);
    CHECK(model.first_pass({.parts = {{}}}));
}
