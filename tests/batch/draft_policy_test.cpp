#include "scheduler/batch/draft_policy.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

using namespace rekindle;  // NOLINT(google-build-using-namespace): a test of one library.
using scheduler::best_depth;
using scheduler::DepthChoice;
using scheduler::StepTimes;

namespace {

// `first` microseconds for a row, `more` for each further one.
StepTimes times_of(int64_t first, int64_t more) {
    StepTimes times;
    for (int round = 0; round < 20; ++round) {
        for (uint32_t rows = 1; rows <= StepTimes::kRowsMax; ++rows) {
            times.measured(rows, std::chrono::microseconds(first + more * (rows - 1)));
        }
    }
    return times;
}

DepthChoice choose(std::vector<double> rates, const StepTimes& model, const StepTimes& draft,
                   uint32_t sequences = 1) {
    return best_depth({.rates = rates, .sequences = sequences, .rows = sequences},
                      {.model = model,
                       .draft = draft,
                       .rows_max = StepTimes::kRowsMax,
                       .gain_min = std::log(scheduler::kGainMin)});
}

}  // namespace

TEST_CASE("a draft model that is right more often guesses deeper; a bad or a slow one not at all") {
    const StepTimes model = times_of(5000, 100);
    const StepTimes fast = times_of(300, 10);
    const DepthChoice good = choose({0.9}, model, fast);
    const DepthChoice fair = choose({0.5}, model, fast);
    CHECK(good.depth > fair.depth);
    CHECK(fair.depth >= 1);
    CHECK(good.gain > fair.gain);
    CHECK(choose({0.02}, model, fast).sequences == 0);
    CHECK(choose({0.9}, model, times_of(4800, 100)).sequences == 0);
}

TEST_CASE("sequences that are guessed well are guessed for, and no others") {
    const StepTimes model = times_of(5000, 300);
    const DepthChoice choice = choose({0.9, 0.9, 0.05}, model, times_of(300, 10), 3);
    CHECK(choice.sequences == 2);
}

TEST_CASE("before times are known nothing is guessed") {
    CHECK(choose({0.9}, StepTimes{}, times_of(300, 10)).sequences == 0);
    CHECK(choose({0.9}, times_of(5000, 100), StepTimes{}).sequences == 0);
}

TEST_CASE("a rate is the mean at first, and then what was seen last") {
    scheduler::HitRate rate;
    rate.learn(true, 16);
    rate.learn(false, 16);
    CHECK(rate.value() == doctest::Approx(0.5));
    for (int i = 0; i < 200; ++i) {
        rate.learn(true, 16);
    }
    CHECK(rate.value() > 0.99);
    CHECK(rate.seen() == 16);
}

TEST_CASE("trials wait until they were saved for, longer once the answer is known") {
    const auto steps_to = [](bool known) {
        scheduler::TrialBudget budget;
        int steps = 0;
        while (!budget.allows(4e6)) {
            budget.step(5e6, 4e6, known);
            ++steps;
        }
        return steps;
    };
    CHECK(steps_to(false) < 20);
    CHECK(steps_to(true) > 200);
    scheduler::TrialBudget budget;
    for (int i = 0; i < 100'000; ++i) {
        budget.step(5e6, 4e6, false);
    }
    budget.spent(4e6);
    CHECK(budget.allows(4e6));
    budget.spent(4e6);
    CHECK_FALSE(budget.allows(4e6));  // However long was saved.
}
