// When guesses are computed, and what becomes of them.
#include "scheduler/batch/speculation.h"

#include "runtime/kv_pages.h"
#include "scheduler/batch/batcher.h"
#include "scheduler/batch/sequence.h"
#include "tests/batch/batch_fixture.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <vector>

using namespace rekindle;  // NOLINT(google-build-using-namespace): a test of one library.
using runtime::TokenId;
using scheduler::Batcher;
using scheduler::Sequence;
using scheduler::SequenceRequest;
using scheduler::Speculation;
using scheduler::SpeculationMode;
using scheduler::TokenEvent;
using tests::BatchFixture;

namespace {

constexpr Nanoseconds kOne = std::chrono::milliseconds(5);

std::vector<TokenId> repeated(uint32_t period, size_t tokens) {
    std::vector<TokenId> text(tokens);
    for (size_t i = 0; i < tokens; ++i) {
        text[i] = static_cast<TokenId>(10 + i % period);
    }
    return text;
}

// A sequence without an engine: enough to plan by.
Sequence planned_sequence(uint32_t lease) {
    Sequence sequence;
    sequence.request.tokens_max = 10'000;
    sequence.lease = lease;
    sequence.tokens = repeated(7, 40);
    sequence.request.prompt = sequence.tokens;
    return sequence;
}

struct Planner {
    explicit Planner(SpeculationMode mode) : speculation(mode) {}

    // Guesses of one step; afterwards every guess was right, or none.
    uint32_t step(Sequence& sequence, bool right, uint32_t rows_max) {
        Sequence* const one = &sequence;
        if (sequence.draft != nullptr) {
            sequence.draft->forget();
        }
        speculation.plan(std::span(&one, 1), rows_max);
        if (sequence.draft == nullptr) {
            return 0;
        }
        const uint32_t taken = sequence.drafts();
        const std::vector<TokenId> run = sequence.draft->run;
        for (uint32_t i = 0; i <= taken && i < sequence.draft->guesses(); ++i) {
            speculation.learn(sequence, i, right ? run[i + 1] : -1);
            if (!right) {
                break;
            }
        }
        return taken;
    }

    Speculation speculation;
};

void measure_rows(Speculation& speculation, Nanoseconds (*time)(uint32_t)) {
    for (int round = 0; round < 20; ++round) {
        for (uint32_t rows = 1; rows <= 24; ++rows) {
            speculation.measured(rows, time(rows));
        }
    }
}

Nanoseconds cheap_rows(uint32_t rows) {
    return kOne + kOne * (rows - 1) / 5;
}

Nanoseconds dear_rows(uint32_t rows) {
    return kOne * rows;
}

Nanoseconds tiles_of_four(uint32_t rows) {
    return kOne * ((rows + 3) / 4);
}

struct Answer {
    std::vector<TokenEvent> events;
    uint32_t steps = 0;
    uint32_t drafts = 0;
    uint32_t accepted = 0;
};

Answer answer(Batcher& batcher, SequenceRequest request) {
    request.lease = request.tokens_max;
    REQUIRE(batcher.submit(std::move(request)));
    Answer out;
    for (; batcher.runnable(); ++out.steps) {
        REQUIRE(batcher.step(out.events));
        out.drafts += batcher.last_step().draft_tokens;
        out.accepted += batcher.last_step().draft_accepted;
    }
    return out;
}

std::vector<TokenId> tokens_of(const Answer& answer) {
    return tests::tokens_of(answer.events, 1);
}

// Says one token for ever.
SequenceRequest says(TokenId token, std::vector<TokenId> prompt, uint32_t tokens) {
    return {.id = 1,
            .prompt = std::move(prompt),
            .tokens_max = tokens,
            .sampling = {.temperature = 0, .logit_bias = {{token, 100.0F}}}};
}

}  // namespace

TEST_CASE("guesses that are never right are soon no longer computed, and are again once they are") {
    Planner planner(SpeculationMode::kAuto);
    measure_rows(planner.speculation, cheap_rows);
    Sequence sequence = planned_sequence(1000);
    CHECK(planner.step(sequence, true, 64) > 3);
    uint32_t wasted = 0;
    for (int i = 0; i < 200; ++i) {
        wasted += planner.step(sequence, false, 64);
    }
    CHECK(wasted < 250);
    CHECK(planner.step(sequence, false, 64) == 0);
    for (int i = 0; i < 60; ++i) {
        static_cast<void>(planner.step(sequence, true, 64));
    }
    CHECK(planner.step(sequence, true, 64) > 3);
}

TEST_CASE("where a row costs as much as a step nothing is guessed") {
    Planner planner(SpeculationMode::kAuto);
    measure_rows(planner.speculation, dear_rows);
    Sequence sequence = planned_sequence(1000);
    for (int i = 0; i < 100; ++i) {
        CHECK(planner.step(sequence, true, 64) == 0);
    }
}

TEST_CASE("rows that come with a step for nothing are filled, and no further") {
    Planner planner(SpeculationMode::kAuto);
    measure_rows(planner.speculation, tiles_of_four);
    Sequence sequence = planned_sequence(1000);
    for (int i = 0; i < 10; ++i) {
        const uint32_t taken = planner.step(sequence, true, 64);
        CHECK(taken >= 3);
        CHECK(taken % 4 == 3);
    }
}

TEST_CASE("one sequence that is guessed well does not make the others slow; all of them may") {
    Planner planner(SpeculationMode::kAuto);
    measure_rows(planner.speculation, [](uint32_t rows) { return kOne + kOne * rows / 3; });
    const auto guesses = [&](size_t predictable) {
        std::vector<Sequence> sequences;
        for (size_t i = 0; i < 6; ++i) {
            sequences.push_back(planned_sequence(1000));
            if (i >= predictable) {
                sequences[i].tokens = tests::random_prompt(1, i);
                sequences[i].request.prompt = sequences[i].tokens;
            }
        }
        std::vector<Sequence*> batch;
        for (Sequence& sequence : sequences) {
            batch.push_back(&sequence);
        }
        planner.speculation.plan(batch, 64);
        uint32_t taken = 0;
        for (const Sequence& sequence : sequences) {
            taken += sequence.drafts();
        }
        return taken;
    };
    CHECK(guesses(1) == 0);
    CHECK(guesses(6) >= 6);
}

TEST_CASE("guesses stay within the lease, the answer's end, the room in the step and their limit") {
    Planner planner(SpeculationMode::kAlways);
    Sequence sequence = planned_sequence(1000);
    CHECK(planner.step(sequence, true, 64) == scheduler::kDraftTokensMax);
    CHECK(planner.step(sequence, true, 4) == 4);
    sequence.lease = 3;
    CHECK(planner.step(sequence, true, 64) == 2);
    sequence.lease = 1;
    CHECK(planner.step(sequence, true, 64) == 0);
    sequence.lease = 1000;
    sequence.request.tokens_max = 5;
    CHECK(planner.step(sequence, true, 64) == 4);
}

TEST_CASE("off, nothing is guessed") {
    Planner planner(SpeculationMode::kOff);
    Sequence sequence = planned_sequence(1000);
    CHECK(planner.step(sequence, true, 64) == 0);
    CHECK(sequence.draft == nullptr);
}

TEST_CASE("an answer that repeats itself takes fewer steps, and is the same") {
    BatchFixture fixture;
    Batcher with(*fixture.engine, {});
    Batcher without(*fixture.engine, {.speculation = SpeculationMode::kOff});
    const auto prompt = tests::random_prompt(20, 1);
    const Answer fast = answer(with, says(5, prompt, 100));
    const Answer slow = answer(without, says(5, prompt, 100));
    CHECK(tokens_of(fast) == tokens_of(slow));
    CHECK(slow.steps == 100);
    CHECK(slow.drafts == 0);
    CHECK(fast.steps < 25);
    CHECK(fast.accepted > 75);
    CHECK(fast.accepted <= fast.drafts);
    CHECK(fast.accepted + fast.steps == 100);
}

TEST_CASE("what was computed from a wrong guess is in no page that others find") {
    BatchFixture fixture;
    Batcher batcher(*fixture.engine,
                    {.prefill_tokens_max = 59, .speculation = SpeculationMode::kAlways});
    const auto text = repeated(7, 100);
    const std::vector<TokenId> prompt(text.begin(), text.begin() + 60);
    const Answer said = answer(batcher, says(5, prompt, 50));
    CHECK(said.drafts > 40);
    // The first guesses stood beside the prompt's last token, up to position 74, and were wrong:
    // the answer says 5.
    CHECK(said.accepted < said.drafts - 14);
    runtime::KvPool& pool = fixture.engine->kv_pool();
    CHECK(pool.cached_tokens({{}, text}) == 32);
    auto spoken = prompt;
    spoken.insert(spoken.end(), 50, 5);
    CHECK(pool.cached_tokens({{}, spoken}) == 96);  // 109 positions were computed.
    CHECK(fixture.engine->free_pages() == fixture.pages);
}

TEST_CASE("going on from pages of an answer that was guessed gives the bits of computing it") {
    BatchFixture fixture;
    Batcher batcher(*fixture.engine, {.speculation = SpeculationMode::kAlways});
    SequenceRequest turn = says(5, repeated(7, 60), 60);
    turn.sampling.logit_bias[0].bias = 6;  // Not always.
    turn.sampling.temperature = 1;
    const Answer first = answer(batcher, turn);
    CHECK(first.accepted > 0);
    CHECK(first.accepted < first.drafts);
    SequenceRequest next = turn;
    const auto said = tokens_of(first);
    next.prompt.insert(next.prompt.end(), said.begin(), said.end());
    next.prompt.push_back(7);
    next.want_logprobs = true;
    next.top_logprobs = 5;
    const Answer cached = answer(batcher, next);

    BatchFixture other;
    Batcher plain(*other.engine, {.prefix_cache = false, .speculation = SpeculationMode::kOff});
    const Answer computed = answer(plain, next);
    REQUIRE(cached.events.size() == computed.events.size());
    for (size_t i = 0; i < cached.events.size(); ++i) {
        CHECK(tests::same_bits(cached.events[i], computed.events[i]));
    }
}

TEST_CASE("guesses take no pages from anybody") {
    BatchFixture fixture({.kv_pages = 4});
    Batcher batcher(*fixture.engine, {.speculation = SpeculationMode::kAlways});
    for (uint64_t id = 1; id <= 2; ++id) {  // Two pages each: the pool is full.
        SequenceRequest request = says(5, tests::random_prompt(40, id), 24);
        request.id = id;
        request.lease = 24;
        REQUIRE(batcher.submit(std::move(request)));
    }
    std::vector<TokenEvent> events;
    uint32_t computed = 0;
    uint32_t guessed = 0;
    while (batcher.runnable()) {
        REQUIRE(batcher.step(events));
        computed += batcher.last_step().tokens - batcher.last_step().draft_tokens;
        guessed += batcher.last_step().draft_accepted;
    }
    CHECK(events.size() == 48);
    CHECK(guessed > 0);
    CHECK(computed == 2 * (40 + 23) - guessed);  // Nobody was computed again.
}

TEST_CASE("beside prompts nothing is guessed") {
    BatchFixture fixture;
    Batcher batcher(*fixture.engine,
                    {.prefill_tokens_max = 10, .speculation = SpeculationMode::kAlways});
    SequenceRequest request = says(5, repeated(7, 10), 60);
    request.lease = 60;
    REQUIRE(batcher.submit(request));
    std::vector<TokenEvent> events;
    REQUIRE(batcher.step(events));
    request = says(5, tests::random_prompt(30, 3), 60);
    request.id = 2;
    REQUIRE(batcher.submit(request));
    request.lease = 0;
    batcher.grant(2, 60);
    for (int i = 0; i < 2; ++i) {
        REQUIRE(batcher.step(events));
        CHECK(batcher.last_step().draft_tokens == 0);
    }
    static_cast<void>(tests::run_until_idle(batcher));
}
