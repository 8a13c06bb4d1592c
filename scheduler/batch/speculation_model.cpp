// When the draft model is asked: for whom it guesses, when it catches up with a text, and what is
// spent on finding out whether it is of use.
#include "scheduler/batch/sequence.h"
#include "scheduler/batch/speculation.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <vector>

namespace rekindle::scheduler {
namespace {

// Tokens that the draft model computes for one sequence in one step to catch up with its text: so
// much longer a token of the others may take.
constexpr uint32_t kCatchUpTokens = 64;
// Behind by so many it guesses without catching up first.
constexpr uint32_t kNearTokens = 16;
// Tokens of a trial: a page, whose rows cost a quarter of single ones or less.
constexpr uint32_t kTrialTokens = 32;
// Comparisons that a rate of all sequences comes from, and without which nothing is guessed.
constexpr uint32_t kMemory = 16;
constexpr uint32_t kMemoryOfAll = 256;
constexpr uint32_t kKnown = 32;
// An answer is thought to go on for as long as it has lasted, and at first for so many tokens.
constexpr uint32_t kGoesOnTokens = 64;
// Before it was measured: a token of a text costs the draft model such a part of a model's step.
constexpr double kTextTokenGuess = 0.25;
// A guess from text that is right half as often as the draft model's brings as much for its time,
// where a step of the draft model takes a quarter of the model's or a little less.
constexpr double kTextWorth = 0.5;
// With kAlways.
constexpr uint32_t kDepthAlways = 4;

}  // namespace

void Speculation::learn_of_model(Sequence& sequence, bool hit) noexcept {
    sequence.draft->model_rate.learn(hit, kMemory);
    model_rate_.learn(hit, kMemoryOfAll);
}

// Computes the next `tokens` of its text and learns from what was sampled there.
void Speculation::bring_up(Sequence& sequence, uint32_t tokens) {
    std::vector<bool> hits;
    model_->catch_up(sequence, tokens, hits);
    for (const bool hit : hits) {
        learn_of_model(sequence, hit);
    }
}

void Speculation::ask_always(std::span<Sequence* const> wanting) {
    for (Sequence* sequence : wanting) {
        bring_up(*sequence, sequence->token_count());
        const uint32_t depth = std::min(kDepthAlways, sequence->guesses_max());
        if (depth > 0 && sequence->draft->guesses() == 0) {
            sequence->draft->source = GuessSource::kModel;
            model_->guess(std::span(&sequence, 1), depth);
        }
    }
}

// What `sequences` gain if the draft model guesses for the best of them, best first.
DepthChoice Speculation::choose(std::span<Sequence*> sequences, const DepthQuestion& question,
                                const DepthCosts& costs) const {
    std::ranges::sort(sequences, std::ranges::greater{},
                      [this](const Sequence* sequence) { return model_rate(*sequence); });
    std::vector<double> rates;
    for (const Sequence* sequence : sequences) {
        rates.push_back(model_rate(*sequence));
    }
    return best_depth({.rates = rates, .sequences = question.sequences, .rows = question.rows},
                      costs);
}

// Its part of what all that want guesses gain until it ends must be more than what the draft model
// takes to get there.
bool Speculation::worth_catching_up(const Sequence& sequence, const DepthChoice& together,
                                    double step_ns) const {
    const uint32_t goes_on = std::min(sequence.request.tokens_max - sequence.sampled(),
                                      std::max(kGoesOnTokens, sequence.sampled()));
    const double saved = together.gain * step_ns * goes_on / std::max(1U, together.sequences);
    return together.sequences > 0 && saved > model_->text_token_ns() * model_->behind(sequence);
}

// Computes a page of a text that was sampled already and compares: 32 guesses for the price of a
// few steps of the draft model, and of no row of the model's.
void Speculation::try_out(Sequence& sequence, uint32_t sequences) {
    const double step_ns = times_.ns_of(sequences);
    const double known_ns = model_->text_token_ns();
    const double trial_ns = kTrialTokens * (known_ns > 0 ? known_ns : kTextTokenGuess * step_ns);
    trials_.step(step_ns, trial_ns, model_rate_.seen() >= kKnown);
    if (!trials_.allows(trial_ns)) {
        return;
    }
    const Nanoseconds before = model_->work().time;
    bring_up(sequence, kTrialTokens - 1);
    bring_up(sequence, 1);  // What a single step takes.
    trials_.spent(static_cast<double>((model_->work().time - before).count()));
}

// Guesses for `near`, best first, as far as it pays.
void Speculation::guess_near(std::span<Sequence*> near, const DepthQuestion& question,
                             const DepthCosts& costs) {
    const DepthChoice choice = choose(near, question, costs);
    const auto chosen = near.first(choice.sequences);
    for (Sequence* sequence : chosen) {
        sequence->draft->source = GuessSource::kModel;
        sequence->draft->run.resize(1);
    }
    model_->guess(chosen, choice.depth);
    for (Sequence* sequence : chosen) {
        auto& run = sequence->draft->run;
        run.resize(std::min<size_t>(run.size(), 1 + sequence->guesses_max()));
    }
}

// For those whose text says nothing as good: guesses as far as they pay, steps towards them, or, at
// times, a trial.
void Speculation::ask_model(std::span<Sequence* const> decodes, uint32_t rows) {
    std::vector<Sequence*> near;
    std::vector<Sequence*> lagging;
    std::vector<Sequence*> others;
    for (Sequence* sequence : decodes) {
        const bool able =
            sequence->guesses_max() > 0 && model_->has_room(*sequence, kModelDepthMax);
        const bool lags = able && model_->behind(*sequence) > kNearTokens;
        if (lags) {
            lagging.push_back(sequence);
        }
        (able && !lags && wants_model(*sequence) ? near : others).push_back(sequence);
    }
    if (mode_ == SpeculationMode::kAlways) {
        near.insert(near.end(), lagging.begin(), lagging.end());
        ask_always(near);
        return;
    }
    const auto count = static_cast<uint32_t>(decodes.size());
    const DepthQuestion question{.sequences = count, .rows = count + take(others, rows, count)};
    const DepthCosts costs{.model = times_,
                           .draft = model_->times(),
                           .rows_max = count + rows,
                           .gain_min = std::log(kGainMin)};
    const bool known = model_rate_.seen() >= kKnown;
    if (known) {
        guess_near(near, question, costs);
    }
    if (lagging.empty()) {
        return;
    }
    std::vector<Sequence*> wanting = near;
    std::ranges::copy_if(lagging, std::back_inserter(wanting),
                         [this](const Sequence* one) { return wants_model(*one); });
    const DepthChoice together = known ? choose(wanting, question, costs) : DepthChoice{};
    std::ranges::sort(lagging, {}, [this](const Sequence* one) { return model_->behind(*one); });
    const auto next = std::ranges::find_if(lagging, [&](const Sequence* one) {
        return wants_model(*one) && worth_catching_up(*one, together, times_.ns_of(question.rows));
    });
    if (next != lagging.end()) {
        bring_up(**next, kCatchUpTokens);
    } else {
        try_out(*lagging.front(), count);
    }
}

// Text that was seen before is a guess for nothing: it is taken unless it is right much less often.
bool Speculation::wants_model(const Sequence& sequence) const noexcept {
    const Draft& draft = *sequence.draft;
    const double of_text = draft.guesses() == 0 ? 0 : draft.rates.of(draft.match.length);
    return of_text <= kTextWorth * model_rate(sequence);
}

}  // namespace rekindle::scheduler
