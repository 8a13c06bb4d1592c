// A draft model's guesses change how many steps an answer takes, and never a bit of it.
#include "base/random.h"
#include "scheduler/batch/batcher.h"
#include "scheduler/batch/sequence.h"
#include "tests/batch/batch_fixture.h"
#include "tests/batch/draft_fixture.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <memory>
#include <span>
#include <vector>

using namespace rekindle;  // NOLINT(google-build-using-namespace): a test of one library.
using scheduler::Batcher;
using scheduler::SequenceRequest;
using scheduler::SpeculationMode;
using scheduler::StepWork;
using scheduler::TokenEvent;
using tests::BatchFixture;
using tests::DraftFixture;
using tests::Likeness;
using tests::random_prompt;
using tests::tokens_of;

namespace {

SequenceRequest request_of(uint64_t id, uint32_t tokens) {
    return {.id = id,
            .prompt = random_prompt(20 + id % 3 * 17, id),
            .tokens_max = tokens,
            .lease = tokens,
            .sampling = {.temperature = id % 2 == 0 ? 0.0F : 0.8F, .seed = id},
            .top_logprobs = 3,
            .want_logprobs = true};
}

struct Totals {
    std::vector<TokenEvent> events;
    uint32_t steps = 0;
    StepWork work;
};

Totals run(Batcher& batcher) {
    Totals out;
    for (; batcher.runnable(); ++out.steps) {
        REQUIRE(batcher.step(out.events));
        const StepWork step = batcher.last_step();
        CHECK(step.model_tokens <= step.draft_tokens);
        CHECK(step.model_accepted <= step.model_tokens);
        out.work.model_tokens += step.model_tokens;
        out.work.model_accepted += step.model_accepted;
        out.work.model_rows += step.model_rows;
        out.work.model_time += step.model_time;
    }
    return out;
}

std::vector<TokenEvent> events_of(const Totals& totals, uint64_t id) {
    std::vector<TokenEvent> own;
    std::ranges::copy_if(totals.events, std::back_inserter(own),
                         [id](const TokenEvent& event) { return event.id == id; });
    return own;
}

// Bit for bit what each of `requests` says alone, without guesses.
void check_against_alone(const Totals& totals, const std::vector<SequenceRequest>& requests) {
    for (const SequenceRequest& request : requests) {
        BatchFixture alone;
        Batcher plain(*alone.engine, {.speculation = SpeculationMode::kOff});
        REQUIRE(plain.submit(request));
        const auto expected = tests::run_until_idle(plain);
        const auto own = events_of(totals, request.id);
        REQUIRE(own.size() == expected.size());
        for (size_t i = 0; i < own.size(); ++i) {
            CHECK(tests::same_bits(own[i], expected[i]));
        }
    }
}

}  // namespace

TEST_CASE("answers have the same bits, whatever the draft model knows and whoever else is there") {
    for (const Likeness likeness : {Likeness::kSame, Likeness::kClose, Likeness::kNone}) {
        for (const SpeculationMode mode : {SpeculationMode::kAlways, SpeculationMode::kAuto}) {
            DraftFixture fixture({.likeness = likeness});
            const auto owned = fixture.batcher(mode);
            Batcher& batcher = *owned;
            std::vector<SequenceRequest> requests;
            for (uint64_t id = 1; id <= 6; ++id) {
                requests.push_back(request_of(id, 60));
                REQUIRE(batcher.submit(requests.back()));
            }
            requests[1].sampling.frequency_penalty = 0;
            const Totals totals = run(batcher);
            check_against_alone(totals, requests);
            CHECK((mode == SpeculationMode::kAuto || totals.work.model_tokens > 0));
            CHECK(fixture.model.engine->free_pages() == fixture.model.pages);
            CHECK(fixture.draft_engine->free_pages() == fixture.draft_pages);
        }
    }
}

TEST_CASE("a draft model that thinks alike saves steps at any temperature; another one does not") {
    const auto accepted = [](Likeness likeness, float temperature) {
        DraftFixture fixture({.likeness = likeness});
        const auto owned = fixture.batcher(SpeculationMode::kAlways);
        Batcher& batcher = *owned;
        SequenceRequest request = request_of(1, 100);
        request.sampling.temperature = temperature;
        REQUIRE(batcher.submit(request));
        const Totals totals = run(batcher);
        CHECK(totals.events.size() == 100);
        return totals.work.model_accepted;
    };
    CHECK(accepted(Likeness::kSame, 0.6F) > 40);
    CHECK(accepted(Likeness::kSame, 1.0F) > 40);
    CHECK(accepted(Likeness::kNone, 1.0F) < 20);
}

TEST_CASE("its guesses come after the first token, and never beside a prompt") {
    DraftFixture fixture;
    const auto owned = fixture.batcher(SpeculationMode::kAlways);
    Batcher& batcher = *owned;
    std::vector<TokenEvent> events;
    REQUIRE(batcher.submit(request_of(1, 40)));
    REQUIRE(batcher.step(events));
    CHECK(events.size() == 1);
    CHECK(batcher.last_step().model_rows == 0);
    REQUIRE(batcher.step(events));
    CHECK(batcher.last_step().model_rows > 0);
    REQUIRE(batcher.submit(request_of(2, 40)));
    REQUIRE(batcher.step(events));
    CHECK(batcher.last_step().model_rows == 0);
    static_cast<void>(run(batcher));
}

TEST_CASE("histories of cancels, leases and taken pages leave no page behind and change no token") {
    for (uint64_t history = 1; history <= 12; ++history) {
        // Pages for two long sequences: others are preempted again and again.
        DraftFixture fixture({.likeness = history % 2 == 0 ? Likeness::kSame : Likeness::kClose,
                              .kv_pages = 9,
                              .draft_pages = history % 3 == 0 ? 5U : 16U});
        const auto owned = fixture.batcher(SpeculationMode::kAlways);
        Batcher& batcher = *owned;
        std::vector<SequenceRequest> requests;
        std::vector<uint64_t> cancelled;
        Totals totals;
        uint64_t draw = 0;
        const auto chance = [&](uint64_t of) {
            return counter_random(history, 7, draw++) % of == 0;
        };
        for (int turn = 0; turn < 2000; ++turn) {
            if (requests.size() < 8 && chance(4)) {
                requests.push_back(request_of(requests.size() + 1, 90));
                SequenceRequest begun = requests.back();
                begun.lease = 1;
                REQUIRE(batcher.submit(std::move(begun)));
            }
            for (SequenceRequest& request : requests) {
                if (chance(6)) {
                    batcher.grant(request.id, 9);
                }
                if (request.id % 4 == 0 && chance(300)) {
                    batcher.cancel(request.id);
                    cancelled.push_back(request.id);
                }
            }
            REQUIRE(batcher.step(totals.events));
        }
        for (const uint64_t id : cancelled) {
            std::erase_if(requests, [id](const auto& request) { return request.id == id; });
        }
        for (const SequenceRequest& request : requests) {
            CHECK(tokens_of(totals.events, request.id) == tests::run_alone(request));
        }
        CHECK(batcher.empty());
        CHECK(fixture.model.engine->free_pages() == fixture.model.pages);
        CHECK(fixture.draft_engine->free_pages() == fixture.draft_pages);
    }
}

TEST_CASE("what it computed of wrong guesses is in no page that others find") {
    DraftFixture fixture({.likeness = Likeness::kClose});
    const auto owned = fixture.batcher(SpeculationMode::kAlways);
    Batcher& batcher = *owned;
    const SequenceRequest request = request_of(1, 90);
    REQUIRE(batcher.submit(request));
    const Totals totals = run(batcher);
    CHECK(totals.work.model_accepted < totals.work.model_tokens);
    auto text = request.prompt;
    const auto said = tokens_of(totals.events, 1);
    text.insert(text.end(), said.begin(), said.end());
    CHECK(fixture.draft_engine->kv_pool().cached_tokens({{}, text}) == text.size() / 32 * 32);
    // A second answer to it begins with these pages, and its guesses are as good.
    SequenceRequest next = request_of(2, 40);
    next.prompt = text;
    REQUIRE(batcher.submit(next));
    check_against_alone(run(batcher), {next});
}

TEST_CASE("the pending token is computed anew where it was guessed and the model did not look") {
    DraftFixture fixture;
    scheduler::DraftModel model(fixture.draft, {});
    scheduler::Sequence sequence;
    sequence.tokens = random_prompt(40, 1);
    sequence.request.prompt = sequence.tokens;
    sequence.draft = std::make_unique<scheduler::Draft>();
    scheduler::Sequence* const one = &sequence;
    for (int step = 0; step < 3; ++step) {
        sequence.draft->run.assign(1, sequence.tokens.back());
        sequence.draft->base = sequence.token_count() - 1;
        model.guess(std::span(&one, 1), 3);
        REQUIRE(sequence.draft->guesses() == 3);
        sequence.tokens.push_back(sequence.draft->run[1]);  // Right, and sampled by a plain step.
        model.settle(sequence);
        CHECK(model.behind(sequence) == 1);
    }
    sequence.tokens.back() = (sequence.tokens.back() + 1) % 200;  // Wrong.
    model.settle(sequence);
    CHECK(model.behind(sequence) == 1);
}

TEST_CASE("a draft model of another vocabulary is refused") {
    BatchFixture fixture;
    auto hyperparameters = tests::synthetic_hyperparameters({});
    hyperparameters.vocabulary = 100;
    auto tensors = tests::synthetic_tensors({});
    auto& embedding = tensors["token_embd.weight"];
    embedding.rows = 100;
    embedding.bytes.resize(embedding.bytes.size() / 2);
    const tests::MemoryImage image(hyperparameters, tensors);
    auto view = image.open();
    REQUIRE(view);
    tests::EngineFixture other(std::move(view).value(), {.kernels = tests::kernel_tables().back()});
    Batcher batcher(*fixture.engine, {});
    const auto attached = batcher.attach_draft(*other);
    REQUIRE_FALSE(attached);
    CHECK(attached.error().message ==
          "the draft model has 100 tokens in its vocabulary, the model 200");
}

// ---- Whether it pays, on simulated time ----

namespace {

// Answers one after the other, all of them long.
struct Paying {
    explicit Paying(tests::DraftFixtureOptions options)
        : fixture(std::move(options)), batcher(fixture.batcher(SpeculationMode::kAuto)) {}

    // Of one answer of 300 tokens.
    Totals answer() {
        SequenceRequest request = request_of(2 * ++asked + 1, 300);
        request.sampling.temperature = 1.0F;  // Repeats nothing.
        request.want_logprobs = false;
        REQUIRE(batcher->submit(request));
        return run(*batcher);
    }

    DraftFixture fixture;
    std::unique_ptr<Batcher> batcher;
    uint64_t asked = 0;
};

}  // namespace

TEST_CASE("a good draft model is found out and then used") {
    Paying pays({});
    static_cast<void>(pays.answer());
    const Totals later = pays.answer();
    CHECK(later.steps < 120);
    CHECK(later.work.model_accepted > 180);
}

TEST_CASE("many answers at once catch up together where it pays for all and not for one") {
    // A step of the draft model costs a third of the model's, for one sequence as for eight.
    Paying pays(
        {.draft_time = [](uint32_t rows) { return std::chrono::microseconds(1700 + 20 * rows); }});
    const auto together = [&pays] {
        for (int i = 0; i < 8; ++i) {
            SequenceRequest request = request_of(2 * ++pays.asked + 1, 200);
            request.sampling.temperature = 1.0F;
            REQUIRE(pays.batcher->submit(request));
        }
        return run(*pays.batcher);
    };
    static_cast<void>(together());
    const Totals later = together();
    CHECK(later.steps < 140);
    CHECK(later.work.model_accepted > 600);
}

TEST_CASE("a draft model that is never right costs less than half a percent once that is known") {
    Paying pays({.likeness = Likeness::kNone});
    static_cast<void>(pays.answer());
    const Nanoseconds model_before = pays.fixture.engine.spent;
    const Nanoseconds draft_before = pays.fixture.draft.spent;
    uint32_t guesses = 0;
    for (int i = 0; i < 10; ++i) {
        const Totals totals = pays.answer();
        guesses += totals.work.model_tokens;
        CHECK(totals.steps + totals.work.model_accepted >= 290);
    }
    const Nanoseconds of_model = pays.fixture.engine.spent - model_before;
    const Nanoseconds of_draft = pays.fixture.draft.spent - draft_before;
    CHECK(of_draft > Nanoseconds(0));  // It is tried now and then.
    CHECK(of_draft * 200 < of_model);
    CHECK(guesses < 10);
}

TEST_CASE("a draft model as slow as the model is not used, however right it is") {
    const auto as_slow = [](uint32_t rows) { return std::chrono::microseconds(5000 + 200 * rows); };
    Paying pays({.draft_time = as_slow});
    static_cast<void>(pays.answer());
    const Totals later = pays.answer();
    CHECK(later.work.model_time * 50 < pays.fixture.engine.spent);
    CHECK(later.steps > 280);
}

TEST_CASE("a draft model that becomes right is used again, and one that becomes wrong no more") {
    Paying pays({});
    pays.fixture.draft.contrary = true;
    for (int i = 0; i < 3; ++i) {
        static_cast<void>(pays.answer());
    }
    CHECK(pays.answer().steps > 280);
    pays.fixture.draft.contrary = false;
    for (int i = 0; i < 30; ++i) {
        static_cast<void>(pays.answer());
    }
    CHECK(pays.answer().steps < 150);
    pays.fixture.draft.contrary = true;
    static_cast<void>(pays.answer());
    CHECK(pays.answer().steps > 280);
}
