// Random schedules of submit, grant, cancel and step against the invariants of the batch.
#include "base/random.h"
#include "scheduler/batch/batcher.h"
#include "tests/batch/batch_fixture.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <vector>

using namespace rekindle;  // NOLINT(google-build-using-namespace): a test of one library.
using scheduler::Batcher;
using scheduler::SequenceRequest;
using scheduler::TokenEvent;

namespace {

using scheduler::SpeculationMode;

struct Tracked {
    SequenceRequest request;
    std::vector<TokenEvent> events;
    uint32_t granted = 0;
    bool cancelled = false;
    bool finished = false;
};

struct Guesses {
    uint32_t computed = 0;
    uint32_t right = 0;
};

// One seed's schedule: the pool is small, so sequences wait, are preempted and computed again.
class Schedule {
public:
    Schedule(uint64_t seed, SpeculationMode speculation)
        : seed_(seed),
          pages_(8 + pick(12)),
          fixture_({.kv_pages = pages_, .threads = 1 + pick(2), .step_tokens_max = 64}),
          batcher_(*fixture_.engine, {.sequences_max = 1 + pick(6),
                                      .prefill_tokens_max = 1 + pick(40),
                                      .speculation = speculation,
                                      .is_end = [](runtime::TokenId t) { return t % 50 == 7; }}) {}

    Guesses run() {
        for (int i = 0; i < 150; ++i) {
            act();
        }
        drain();
        check_answers();
        return guesses_;
    }

private:
    uint32_t pick(uint32_t below) {
        return static_cast<uint32_t>(counter_random(seed_, 4, draws_++) % below);
    }

    void act() {
        const uint32_t action = pick(10);
        if (action < 2) {
            submit();
        } else if (action == 2 && !all_.empty()) {
            cancel(pick(static_cast<uint32_t>(all_.size())));
        } else if (action < 5 && !all_.empty()) {
            grant(pick(static_cast<uint32_t>(all_.size())), 1 + pick(30));
        } else {
            step();
        }
    }

    // Half of them begin as others do.
    std::vector<runtime::TokenId> prompt() {
        const uint32_t begins = pick(2);
        auto prompt = tests::random_prompt(begins * (10 + pick(90)), pick(2));
        const auto own = tests::random_prompt(1 + pick(begins == 1 ? 40 : 120), draws_);
        prompt.insert(prompt.end(), own.begin(), own.end());
        return prompt;
    }

    // Of the answers, some say what was said before, some whatever comes.
    runtime::SamplingOptions sampling() {
        runtime::SamplingOptions options{.temperature = pick(2) == 0 ? 0.0F : 1.0F,
                                         .top_p = pick(2) == 0 ? 1.0F : 0.9F,
                                         .seed = draws_};
        if (pick(3) == 0) {
            options.repetition_penalty = 1.1F;
            options.frequency_penalty = 0.3F;
        }
        for (uint32_t i = pick(3); i > 0; --i) {
            options.logit_bias.push_back({static_cast<runtime::TokenId>(pick(200)), 7.0F});
        }
        return options;
    }

    void submit() {
        SequenceRequest request{.id = all_.size(),
                                .prompt = prompt(),
                                .tokens_max = 1 + pick(100),
                                .lease = pick(20),
                                .sampling = sampling(),
                                .top_logprobs = pick(6),
                                .want_logprobs = pick(2) == 0,
                                .ignore_eos = pick(2) == 0,
                                .prompt_logprobs = pick(4) == 0,
                                .salt = {pick(2), 0}};
        REQUIRE(batcher_.submit(request));
        const uint32_t lease = request.lease;
        all_.push_back({.request = std::move(request), .granted = lease});
    }

    void cancel(uint64_t id) {
        batcher_.cancel(id);
        all_[id].cancelled = !all_[id].finished;
    }

    void grant(uint64_t id, uint32_t tokens) {
        batcher_.grant(id, tokens);
        all_[id].granted += tokens;
    }

    void step() {
        std::vector<TokenEvent> events;
        const bool runnable = batcher_.runnable();
        REQUIRE(batcher_.step(events));
        CHECK((runnable || events.empty()));
        guesses_.computed += batcher_.last_step().draft_tokens;
        guesses_.right += batcher_.last_step().draft_accepted;
        for (const TokenEvent& event : events) {
            Tracked& tracked = all_.at(event.id);
            CHECK_FALSE(tracked.cancelled);
            CHECK_FALSE(tracked.finished);
            tracked.events.push_back(event);
            CHECK(tracked.events.size() <= tracked.granted);
            tracked.finished = event.finish != scheduler::FinishReason::kNone;
        }
    }

    // Grants everybody the rest: with leases, nothing may be stuck.
    void drain() {
        for (const Tracked& tracked : all_) {
            grant(tracked.request.id, tracked.request.tokens_max);
        }
        for (int steps = 0; batcher_.runnable(); ++steps) {
            REQUIRE(steps < 100'000);
            step();
        }
        CHECK(batcher_.empty());
        CHECK(fixture_.engine->free_pages() == pages_);
    }

    void check_answers() {
        tests::BatchFixture alone;
        for (const Tracked& tracked : all_) {
            CHECK(tracked.finished == !tracked.cancelled);
            Batcher batcher(*alone.engine,
                            {.prefix_cache = false,
                             .speculation = SpeculationMode::kOff,
                             .is_end = [](runtime::TokenId t) { return t % 50 == 7; }});
            SequenceRequest request = tracked.request;
            const auto room = static_cast<uint32_t>(pages_ * 32 - request.prompt.size());
            request.tokens_max = std::min(request.tokens_max, room);
            request.lease = request.tokens_max;
            REQUIRE(batcher.submit(request));
            auto expected = tests::run_until_idle(batcher);
            if (tracked.cancelled) {
                REQUIRE(tracked.events.size() <= expected.size());
                expected.resize(tracked.events.size());
            }
            CHECK(std::ranges::equal(tracked.events, expected, tests::same_bits));
            if (!tracked.events.empty() && request.prompt_logprobs) {
                CHECK(tracked.events[0].prompt.size() == request.prompt.size() - 1);
            }
        }
    }

    uint64_t seed_;
    uint64_t draws_ = 0;
    uint32_t pages_;
    tests::BatchFixture fixture_;
    Batcher batcher_;
    std::vector<Tracked> all_;
    Guesses guesses_;
};

}  // namespace

TEST_CASE("under random schedules every answer is what it is alone, and no page is lost") {
    for (uint64_t seed = 1; seed <= 12; ++seed) {
        CAPTURE(seed);
        static_cast<void>(Schedule(seed, SpeculationMode::kOff).run());
    }
}

TEST_CASE("under random schedules with guesses every answer is what it is alone without them") {
    for (const auto mode : {SpeculationMode::kAlways, SpeculationMode::kAuto}) {
        Guesses all;
        for (uint64_t seed = 1; seed <= 24; ++seed) {
            CAPTURE(seed);
            const Guesses guesses = Schedule(seed, mode).run();
            all.computed += guesses.computed;
            all.right += guesses.right;
        }
        MESSAGE(all.right << " of " << all.computed << " guesses were right");
        CHECK(all.right > 500);
        CHECK(all.computed > all.right);
    }
}
