// Who computes how much of a prompt: no prompt waits for ever, and short ones do not wait for long.
#include "scheduler/batch/batcher.h"
#include "tests/batch/batch_fixture.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <vector>

using namespace rekindle;  // NOLINT(google-build-using-namespace): a test of one library.
using scheduler::Batcher;
using scheduler::TokenEvent;
using tests::BatchFixture;
using tests::random_prompt;

namespace {

scheduler::SequenceRequest request_of(uint64_t id, size_t prompt, uint32_t tokens_max) {
    return {.id = id,
            .prompt = random_prompt(prompt, id),
            .tokens_max = tokens_max,
            .lease = tokens_max};
}

}  // namespace

TEST_CASE("a long prompt gets half of each step however many short ones keep coming") {
    BatchFixture fixture;
    Batcher batcher(*fixture.engine, {.sequences_max = 8, .prefill_tokens_max = 32});
    REQUIRE(batcher.submit(request_of(0, 320, 1)));
    uint64_t next = 1;
    std::vector<TokenEvent> events;
    uint32_t steps = 0;
    while (std::ranges::none_of(events, [](const TokenEvent& event) { return event.id == 0; })) {
        while (batcher.waiting() == 0) {
            REQUIRE(batcher.submit(request_of(next++, 12, 1)));
        }
        REQUIRE(batcher.step(events));
        REQUIRE(++steps <= 20);  // 320 tokens at 16 a step.
    }
    CHECK(events.size() > 15);  // The short ones were answered beside it.
}

TEST_CASE("a short prompt that comes after long ones is answered before them") {
    BatchFixture fixture;
    Batcher batcher(*fixture.engine, {.prefill_tokens_max = 32});
    for (uint64_t id = 0; id < 3; ++id) {
        REQUIRE(batcher.submit(request_of(id, 300, 1)));
    }
    std::vector<TokenEvent> events;
    REQUIRE(batcher.step(events));
    REQUIRE(batcher.submit(request_of(3, 20, 1)));
    REQUIRE(batcher.step(events));
    CHECK(events.empty());
    REQUIRE(batcher.step(events));
    REQUIRE(events.size() == 1);
    CHECK(events[0].id == 3);
}

TEST_CASE("long prompts do not keep answers from going on in every step") {
    BatchFixture fixture({.kv_pages = 128});
    Batcher batcher(*fixture.engine, {.prefill_tokens_max = 16});
    for (uint64_t id = 0; id < 3; ++id) {
        REQUIRE(batcher.submit(request_of(id, 4, 60)));
    }
    std::vector<TokenEvent> events;
    REQUIRE(batcher.step(events));
    for (uint64_t id = 10; id < 14; ++id) {
        REQUIRE(batcher.submit(request_of(id, 400, 1)));
    }
    for (int step = 0; step < 40; ++step) {
        events.clear();
        REQUIRE(batcher.step(events));
        std::map<uint64_t, int> answered;
        for (const TokenEvent& event : events) {
            ++answered[event.id];
        }
        CHECK(answered[0] == 1);
        CHECK(answered[1] == 1);
        CHECK(answered[2] == 1);
    }
}

TEST_CASE("every prompt of a crowd is answered, in a number of steps that its tokens explain") {
    BatchFixture fixture({.kv_pages = 40});
    Batcher batcher(*fixture.engine, {.sequences_max = 6, .prefill_tokens_max = 24});
    uint32_t tokens = 0;
    for (uint64_t id = 0; id < 30; ++id) {
        const auto prompt = static_cast<uint32_t>(id % 5 == 0 ? 250 : 7 + id);
        REQUIRE(batcher.submit(request_of(id, prompt, 3)));
        tokens += prompt;
    }
    std::map<uint64_t, int> answered;
    uint32_t steps = 0;
    while (batcher.runnable()) {
        std::vector<TokenEvent> events;
        REQUIRE(batcher.step(events));
        for (const TokenEvent& event : events) {
            ++answered[event.id];
        }
        ++steps;
    }
    CHECK(answered.size() == 30);
    CHECK(steps <= 2 * tokens / 24 + 30 * 3);
}
