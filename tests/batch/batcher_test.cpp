#include "scheduler/batch/batcher.h"

#include "tests/batch/batch_fixture.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

using namespace rekindle;  // NOLINT(google-build-using-namespace): a test of one library.
using scheduler::Batcher;
using scheduler::FinishReason;
using scheduler::TokenEvent;
using tests::BatchFixture;
using tests::random_prompt;
using tests::run_until_idle;
using tests::tokens_of;

TEST_CASE("an answer has tokens_max tokens and ends with length") {
    BatchFixture fixture;
    Batcher batcher(*fixture.engine, {});
    REQUIRE(
        batcher.submit({.id = 7, .prompt = random_prompt(20, 1), .tokens_max = 9, .lease = 99}));

    const auto events = run_until_idle(batcher);

    REQUIRE(events.size() == 9);
    CHECK(std::ranges::all_of(events, [](const TokenEvent& e) { return e.id == 7; }));
    CHECK(events[7].finish == FinishReason::kNone);
    CHECK(events[8].finish == FinishReason::kLength);
    CHECK(batcher.empty());
    CHECK(fixture.engine->free_pages() == fixture.pages);
}

TEST_CASE("a step says how many sequences and tokens it computed, and who waits") {
    BatchFixture fixture;
    Batcher batcher(*fixture.engine, {.sequences_max = 2});
    for (uint64_t id = 1; id <= 3; ++id) {
        REQUIRE(batcher.submit(
            {.id = id, .prompt = random_prompt(20, id), .tokens_max = 2, .lease = 9}));
    }
    CHECK(batcher.waiting() == 1);
    CHECK(batcher.last_step().sequences == 0);
    std::vector<TokenEvent> events;
    REQUIRE(batcher.step(events));
    CHECK(batcher.last_step().sequences == 2);
    CHECK(batcher.last_step().tokens == 40);
    REQUIRE(batcher.step(events));
    CHECK(batcher.last_step().tokens == 2);
    CHECK(batcher.waiting() == 0);  // Two ended, the third has their place.
}

TEST_CASE("an end token ends the answer and is reported; ignore_eos goes on") {
    BatchFixture fixture;
    Batcher batcher(*fixture.engine, {});
    const auto request = [](uint64_t id, bool ignore) {
        return scheduler::SequenceRequest{.id = id,
                                          .prompt = random_prompt(20, 1),
                                          .tokens_max = 9,
                                          .lease = 99,
                                          .sampling = {.temperature = 0},
                                          .ignore_eos = ignore};
    };
    REQUIRE(batcher.submit(request(1, false)));
    const auto all = run_until_idle(batcher);
    const runtime::TokenId end = all[4].token;
    const auto first = std::ranges::find(all, end, &TokenEvent::token);
    const auto expected = static_cast<size_t>(first - all.begin()) + 1;

    Batcher ending(*fixture.engine, {.is_end = [end](runtime::TokenId t) { return t == end; }});
    REQUIRE(ending.submit(request(1, false)));
    const auto events = run_until_idle(ending);
    REQUIRE(events.size() == expected);
    CHECK(events.back().token == end);
    CHECK(events.back().finish == FinishReason::kStop);

    REQUIRE(ending.submit(request(2, true)));
    CHECK(run_until_idle(ending).size() == 9);
}

TEST_CASE("a sequence samples no more than its lease, keeps its pages and goes on when granted") {
    BatchFixture fixture;
    Batcher batcher(*fixture.engine, {});
    REQUIRE(
        batcher.submit({.id = 1, .prompt = random_prompt(40, 1), .tokens_max = 10, .lease = 3}));

    CHECK(run_until_idle(batcher).size() == 3);

    CHECK_FALSE(batcher.runnable());
    CHECK_FALSE(batcher.empty());
    CHECK(fixture.engine->free_pages() < fixture.pages);
    batcher.grant(1, 2);
    CHECK(batcher.runnable());
    CHECK(run_until_idle(batcher).size() == 2);
    batcher.grant(1, 100);
    CHECK(run_until_idle(batcher).back().finish == FinishReason::kLength);
    batcher.grant(1, 1);  // Finished: ignored.
    CHECK(batcher.empty());
}

TEST_CASE("cancelling frees the pages at once, whether a sequence runs or waits") {
    BatchFixture fixture;
    Batcher batcher(*fixture.engine, {.sequences_max = 1});
    REQUIRE(
        batcher.submit({.id = 1, .prompt = random_prompt(40, 1), .tokens_max = 10, .lease = 9}));
    REQUIRE(
        batcher.submit({.id = 2, .prompt = random_prompt(40, 2), .tokens_max = 10, .lease = 9}));
    std::vector<TokenEvent> events;
    REQUIRE(batcher.step(events));
    CHECK(events.size() == 1);
    batcher.cancel(2);
    batcher.cancel(1);
    batcher.cancel(77);
    CHECK(batcher.empty());
    CHECK(fixture.engine->free_pages() == fixture.pages);
}

TEST_CASE("a waiting sequence joins when another leaves") {
    BatchFixture fixture;
    Batcher batcher(*fixture.engine, {.sequences_max = 1});
    REQUIRE(batcher.submit({.id = 1, .prompt = random_prompt(4, 1), .tokens_max = 2, .lease = 9}));
    REQUIRE(batcher.submit({.id = 2, .prompt = random_prompt(4, 2), .tokens_max = 2, .lease = 9}));
    const auto events = run_until_idle(batcher);
    REQUIRE(events.size() == 4);
    CHECK(events[1].id == 1);
    CHECK(events[2].id == 2);
}

TEST_CASE("what cannot be served is refused with a code of its own") {
    BatchFixture fixture;
    Batcher batcher(*fixture.engine, {.sequences_max = 1, .queue_max = 1});
    const uint32_t context = fixture.engine->context_max();
    const auto code = [&](scheduler::SequenceRequest request) {
        const auto submitted = batcher.submit(std::move(request));
        REQUIRE_FALSE(submitted);
        return submitted.error().code;
    };
    CHECK(code({.id = 1, .prompt = {}, .tokens_max = 1}) == ErrorCode::kInvalidArgument);
    CHECK(code({.id = 1, .prompt = {5}, .tokens_max = 0}) == ErrorCode::kInvalidArgument);
    CHECK(code({.id = 1, .prompt = {-1}, .tokens_max = 1}) == ErrorCode::kInvalidArgument);
    CHECK(code({.id = 1, .prompt = {200}, .tokens_max = 1}) == ErrorCode::kInvalidArgument);
    CHECK(code({.id = 1, .prompt = random_prompt(context, 1), .tokens_max = 1}) ==
          ErrorCode::kTooLarge);
    REQUIRE(batcher.submit({.id = 1, .prompt = {5}, .tokens_max = 1}));
    CHECK(code({.id = 1, .prompt = {5}, .tokens_max = 1}) == ErrorCode::kAlreadyExists);
    REQUIRE(batcher.submit({.id = 2, .prompt = {5}, .tokens_max = 1}));
    CHECK(code({.id = 3, .prompt = {5}, .tokens_max = 1}) == ErrorCode::kOverloaded);
}

TEST_CASE("an answer ends with length at the end of the context") {
    BatchFixture fixture;
    Batcher batcher(*fixture.engine, {});
    const uint32_t context = fixture.engine->context_max();
    REQUIRE(batcher.submit(
        {.id = 1, .prompt = random_prompt(context - 3, 1), .tokens_max = 1000, .lease = 1000}));
    const auto events = run_until_idle(batcher);
    REQUIRE(events.size() == 3);
    CHECK(events.back().finish == FinishReason::kLength);
}

TEST_CASE("a decode rides along in every step while long prompts share the budget fairly") {
    BatchFixture fixture;
    Batcher batcher(*fixture.engine, {.prefill_tokens_max = 20});
    REQUIRE(
        batcher.submit({.id = 1, .prompt = random_prompt(2, 1), .tokens_max = 50, .lease = 50}));
    std::vector<TokenEvent> events;
    REQUIRE(batcher.step(events));
    REQUIRE(
        batcher.submit({.id = 2, .prompt = random_prompt(100, 2), .tokens_max = 1, .lease = 1}));
    REQUIRE(batcher.submit({.id = 3, .prompt = random_prompt(30, 3), .tokens_max = 1, .lease = 1}));
    std::vector<uint64_t> order;
    for (int i = 0; i < 8; ++i) {
        events.clear();
        REQUIRE(batcher.step(events));
        CHECK(events.front().id == 1);
        for (const TokenEvent& event : events) {
            order.push_back(event.id);
        }
    }
    // 3 has 10 of 20 a step: its 30 tokens end in the third, those of 2 in the seventh.
    CHECK(order == std::vector<uint64_t>{1, 1, 1, 3, 1, 1, 1, 1, 2, 1});
}

TEST_CASE("log-probabilities of the answer and of the prompt belong to the right tokens") {
    BatchFixture fixture;
    Batcher batcher(*fixture.engine, {.prefill_tokens_max = 16});
    const auto prompt = random_prompt(50, 5);
    REQUIRE(batcher.submit({.id = 1,
                            .prompt = prompt,
                            .tokens_max = 3,
                            .lease = 3,
                            .sampling = {.temperature = 0},
                            .top_logprobs = 4,
                            .want_logprobs = true,
                            .prompt_logprobs = true}));
    const auto events = run_until_idle(batcher);
    REQUIRE(events.size() == 3);
    for (const TokenEvent& event : events) {
        REQUIRE(event.top.size() == 4);
        CHECK(event.top[0].token == event.token);  // Temperature 0.
        CHECK(event.top[0].logprob == event.logprob);
        CHECK(event.logprob < 0);
    }
    REQUIRE(events[0].prompt.size() == 49);
    CHECK(events[1].prompt.empty());
    for (size_t i = 0; i < 49; ++i) {
        CHECK(events[0].prompt[i].token == prompt[i + 1]);
        CHECK(events[0].prompt[i].top.size() == 4);
        // The best guess of each prefix is what temperature 0 samples after it.
        Batcher alone(*fixture.engine, {});
        REQUIRE(alone.submit({.id = 1,
                              .prompt = {prompt.begin(), prompt.begin() + 1 + ptrdiff_t(i)},
                              .tokens_max = 1,
                              .lease = 1,
                              .sampling = {.temperature = 0}}));
        CHECK(run_until_idle(alone)[0].token == events[0].prompt[i].top[0].token);
    }
}

TEST_CASE("when pages run out the newest stands back, and every answer is what it is alone") {
    BatchFixture fixture({.kv_pages = 10});
    Batcher batcher(*fixture.engine, {});
    std::vector<scheduler::SequenceRequest> requests;
    for (uint64_t id = 0; id < 5; ++id) {
        requests.push_back({.id = id,
                            .prompt = random_prompt(20, id),
                            .tokens_max = 200,
                            .lease = 1000,
                            .sampling = {.temperature = 1, .seed = id},
                            .ignore_eos = true});
        REQUIRE(batcher.submit(requests.back()));
    }
    const auto events = run_until_idle(batcher);
    CHECK(batcher.empty());
    CHECK(fixture.engine->free_pages() == 10);
    for (const auto& request : requests) {
        CHECK(tokens_of(events, request.id) == tests::run_alone(request));
    }
}

TEST_CASE("a sequence out of lease gives way when another could not go on otherwise") {
    BatchFixture fixture({.kv_pages = 4});
    Batcher batcher(*fixture.engine, {});
    const scheduler::SequenceRequest idle{.id = 1,
                                          .prompt = random_prompt(30, 1),
                                          .tokens_max = 80,
                                          .lease = 1,
                                          .sampling = {.seed = 3}};
    const scheduler::SequenceRequest busy{
        .id = 2, .prompt = random_prompt(30, 2), .tokens_max = 97, .lease = 97};
    REQUIRE(batcher.submit(busy));
    std::vector<TokenEvent> events;
    for (int i = 0; i < 60; ++i) {
        REQUIRE(batcher.step(events));
    }
    REQUIRE(batcher.submit(idle));
    const auto rest = run_until_idle(batcher);
    events.insert(events.end(), rest.begin(), rest.end());
    CHECK(tokens_of(events, 2).size() == 97);
    batcher.grant(1, 79);
    const auto late = run_until_idle(batcher);
    events.insert(events.end(), late.begin(), late.end());
    CHECK(tokens_of(events, 1).size() == 80);
    CHECK(tokens_of(events, 1) == tests::run_alone({.id = 1,
                                                    .prompt = idle.prompt,
                                                    .tokens_max = 80,
                                                    .lease = 80,
                                                    .sampling = {.seed = 3}}));
}
