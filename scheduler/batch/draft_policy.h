// When a draft model's guesses are worth its steps, and what may be spent on finding out. Both are
// judged by measured times and by how often it was right lately.
// Threading: the engine thread. Pure but for what it was told.
#pragma once
#include "scheduler/batch/step_times.h"

#include <cstdint>
#include <span>

namespace rekindle::scheduler {

// Guesses must bring so much more than they cost by what is known, which is not exact.
inline constexpr double kGainMin = 1.03;

// How often the draft model guesses the next token where all before it were right.
class HitRate {
public:
    double value() const noexcept { return rate_; }

    // Guesses seen; a few say nothing yet.
    uint32_t seen() const noexcept { return seen_; }

    // Of which the last `memory` or so count.
    void learn(bool hit, uint32_t memory) noexcept;

private:
    double rate_ = 0;
    uint32_t seen_ = 0;
};

// Guesses for one sequence in one step. A token is guessed by a step of the draft model of its own,
// so deep ones are dear.
inline constexpr uint32_t kModelDepthMax = 8;

// What is known before a step.
struct DepthQuestion {
    std::span<const double> rates;  // Of those that the draft model may guess for, best first.
    uint32_t sequences = 0;         // In the step, theirs among them.
    uint32_t rows = 0;              // That it has anyway: sequences, and guesses from text.
};

// What steps cost by their rows.
struct DepthCosts {
    const StepTimes& model;
    const StepTimes& draft;
    uint32_t rows_max = 0;  // Of a step of the model.
    double gain_min = 0;    // Less is not worth it, for times are not known exactly.
};

struct DepthChoice {
    uint32_t sequences = 0;  // The first so many; 0: it does not pay.
    uint32_t depth = 0;      // Guesses for each.
    double gain = 0;         // Logarithm of how much faster the step's sequences get, on average.
};

// Of all counts of sequences and guesses the one that brings most for the time, if it brings more
// than the least.
DepthChoice best_depth(const DepthQuestion& question, const DepthCosts& costs);

// Time that may be spent on comparing the draft model with what was sampled, while it does not pay.
class TrialBudget {
public:
    // A step of the model took `ns`; a trial will cost `trial_ns`. More is allowed while nothing is
    // `known`.
    void step(double ns, double trial_ns, bool known) noexcept;

    bool allows(double ns) const noexcept { return ns > 0 && saved_ns_ >= ns; }

    void spent(double ns) noexcept { saved_ns_ -= ns; }

private:
    double saved_ns_ = 0;
};

}  // namespace rekindle::scheduler
