#include "scheduler/batch/step_budget.h"

#include "tests/batch/batch_fixture.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <vector>

using namespace rekindle;  // NOLINT(google-build-using-namespace): a test of one library.
using scheduler::Batcher;
using scheduler::StepBudget;
using scheduler::TokenEvent;
using std::chrono::milliseconds;
using tests::BatchFixture;
using tests::random_prompt;

namespace {

// A machine that takes 10 ms for the answers of a step and 1 ms for each prompt token.
void run_on_machine(StepBudget& budget, int steps) {
    for (int i = 0; i < steps; ++i) {
        budget.measured({.time = milliseconds(10), .decodes = 3});
        const uint32_t tokens = budget.prompt_tokens(3, 512);
        budget.measured({.time = milliseconds(10 + tokens), .decodes = 3, .prompt_tokens = tokens});
    }
}

// Every look at it is 10 ms after the one before.
class TickingClock final : public Clock {
public:
    Nanoseconds monotonic() const noexcept override { return now_ += milliseconds(10); }
    Nanoseconds wall() const noexcept override { return now_; }

private:
    mutable Nanoseconds now_{};
};

}  // namespace

TEST_CASE("prompts take all that they may while nobody is answered") {
    StepBudget budget(milliseconds(50));
    CHECK(budget.prompt_tokens(0, 512) == 512);
    run_on_machine(budget, 20);
    CHECK(budget.prompt_tokens(0, 512) == 512);
}

TEST_CASE("beside answers a step is as long as it may be, by what steps took before") {
    StepBudget budget(milliseconds(50));
    CHECK(budget.prompt_tokens(3, 512) == 32);  // Nothing is known.
    CHECK(budget.prompt_tokens(3, 5) == 5);
    run_on_machine(budget, 40);
    CHECK(budget.prompt_tokens(3, 512) == 40);
    CHECK(budget.prompt_tokens(3, 16) == 16);
}

TEST_CASE("where the answers alone take longer than that, prompts get as much time as they do") {
    StepBudget budget(milliseconds(5));
    run_on_machine(budget, 40);
    CHECK(budget.prompt_tokens(3, 512) == 10);
    for (int i = 0; i < 40; ++i) {
        budget.measured({.time = milliseconds(10 + 100), .decodes = 3, .prompt_tokens = 1});
    }
    CHECK(budget.prompt_tokens(3, 512) == 1);  // Never less.
}

TEST_CASE("one step that was held up does not stop the prompts") {
    StepBudget budget(milliseconds(50));
    run_on_machine(budget, 40);
    budget.measured({.time = std::chrono::seconds(60), .decodes = 3, .prompt_tokens = 1});
    CHECK(budget.prompt_tokens(3, 512) >= 16);
    run_on_machine(budget, 40);
    CHECK(budget.prompt_tokens(3, 512) >= 39);
}

TEST_CASE("a step that took no time teaches nothing") {
    StepBudget budget(milliseconds(50));
    budget.measured({.time = Nanoseconds(0), .decodes = 1, .prompt_tokens = 9});
    CHECK(budget.prompt_tokens(1, 512) == 32);
}

TEST_CASE("a batch with a clock cuts prompts beside answers, and answers are what they are alone") {
    const TickingClock clock;
    BatchFixture fixture;
    Batcher batcher(*fixture.engine, {.clock = &clock, .step_time = milliseconds(12)});
    const auto request = [](uint64_t id, size_t prompt, uint32_t tokens) {
        return scheduler::SequenceRequest{.id = id,
                                          .prompt = random_prompt(prompt, id),
                                          .tokens_max = tokens,
                                          .lease = tokens,
                                          .sampling = {.seed = id}};
    };
    std::vector<TokenEvent> events;
    REQUIRE(batcher.submit(request(1, 200, 60)));
    REQUIRE(batcher.step(events));
    CHECK(batcher.last_step().tokens == 200);
    for (int i = 0; i < 5; ++i) {
        REQUIRE(batcher.step(events));
    }
    REQUIRE(batcher.submit(request(2, 300, 5)));
    uint32_t most = 0;
    uint32_t steps = 0;
    while (!std::ranges::any_of(events, [](const TokenEvent& event) { return event.id == 2; })) {
        REQUIRE(batcher.step(events));
        most = std::max(most, batcher.last_step().tokens);
        ++steps;
    }
    CHECK(most > 1);
    CHECK(most <= 300);
    CHECK(steps > 1);
    const auto rest = tests::run_until_idle(batcher);
    events.insert(events.end(), rest.begin(), rest.end());
    CHECK(tests::tokens_of(events, 1) == tests::run_alone(request(1, 200, 60)));
    CHECK(tests::tokens_of(events, 2) == tests::run_alone(request(2, 300, 5)));
}
