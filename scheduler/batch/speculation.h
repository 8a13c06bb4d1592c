// Speculative decoding: guesses the next tokens of sequences that are being answered, so that one
// step computes several positions of each. Guesses come from the sequence's own text, or from a
// draft model where there is one and the text says nothing as good. A guess is kept only where it
// is the token that is sampled there, so answers have the same tokens with and without: a row's
// bits do not depend on which rows it is computed with. How many guesses are worth their rows is
// decided each step, from how often each sequence's guesses were right lately and from what rows
// cost on this machine; nothing is guessed where that is more than they bring. Being right is
// watched on unused guesses too, which costs nothing. Threading: the engine thread.
#pragma once
#include "runtime/kv_pages.h"
#include "scheduler/batch/draft_model.h"
#include "scheduler/batch/draft_policy.h"
#include "scheduler/batch/ngram_index.h"
#include "scheduler/batch/step_times.h"

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace rekindle::scheduler {

struct Sequence;

enum class SpeculationMode : uint8_t {
    kOff,
    kAuto,    // As many guesses as pay.
    kAlways,  // All guesses there are, whatever they cost: tests, measurements.
};

// Guesses of one sequence in one step: with the pending token, 16 rows.
inline constexpr uint32_t kDraftTokensMax = 15;

// How often guesses turn out right, by how long the text before them was alike.
class HitRates {
public:
    double of(uint32_t match) const noexcept { return rates_[grade(match)]; }

    void learn(uint32_t match, bool hit, double weight) noexcept;

private:
    static size_t grade(uint32_t match) noexcept;

    // Before anything was seen: of two tokens alike, four, eight, sixteen and more.
    std::array<double, 4> rates_{0.3, 0.5, 0.7, 0.85};
};

enum class GuessSource : uint8_t { kText, kModel };

// What a sequence needs for it.
struct Draft {
    NgramIndex index;
    HitRates rates;
    NgramIndex::Match match;
    std::vector<runtime::TokenId> run;  // The pending token, then the guesses.
    uint32_t base = 0;                  // Where the text has the pending token.
    uint32_t taken = 0;                 // Guesses that this step computes.
    GuessSource source = GuessSource::kText;
    // Of the draft model.
    std::unique_ptr<runtime::KvSequence> model_kv;  // Null: nothing was computed.
    HitRate model_rate;

    // Before a step: what was guessed for another is no guess any more.
    void forget() noexcept {
        run.clear();
        taken = 0;
    }

    // How many positions hold the tokens of `text`, where the run was computed after the text that
    // there was.
    uint32_t verified(std::span<const runtime::TokenId> text) const noexcept;

    uint32_t guesses() const noexcept {
        return run.empty() ? 0 : static_cast<uint32_t>(run.size()) - 1;
    }
};

class Speculation {
public:
    explicit Speculation(SpeculationMode mode) noexcept : mode_(mode) {}

    // From now on guesses come from `model`, too.
    void attach(std::unique_ptr<DraftModel> model) noexcept { model_ = std::move(model); }

    // Sets `draft->taken` of `decodes`, each of which computes its pending token in this step;
    // at most `rows` more in all. Then nothing else is computed in the step.
    void plan(std::span<Sequence* const> decodes, uint32_t rows);

    // `sequence` sampled its `index`-th token of this step: was that the guess?
    void learn(Sequence& sequence, uint32_t index, runtime::TokenId sampled) noexcept;
    // It sampled all tokens of this step.
    void settle(Sequence& sequence);

    // A step of `rows` that all have logits took so long.
    void measured(uint32_t rows, Nanoseconds time) noexcept { times_.measured(rows, time); }

    // What the draft model did since the last call.
    DraftModelWork take_model_work() noexcept;

private:
    void guess(Sequence& sequence) const;
    double model_rate(const Sequence& sequence) const noexcept;
    // Sets `taken` of `decodes` to what is worth it in a step of `sequences` in all; their sum.
    uint32_t take(std::span<Sequence* const> decodes, uint32_t rows, uint32_t sequences) const;
    uint32_t worthwhile(std::span<const double> gains, uint32_t sequences) const noexcept;
    // ---- speculation_model.cpp ----
    bool wants_model(const Sequence& sequence) const noexcept;
    void ask_model(std::span<Sequence* const> decodes, uint32_t rows);
    void ask_always(std::span<Sequence* const> wanting);
    void learn_of_model(Sequence& sequence, bool hit) noexcept;
    DepthChoice choose(std::span<Sequence*> sequences, const DepthQuestion& question,
                       const DepthCosts& costs) const;
    bool worth_catching_up(const Sequence& sequence, const DepthChoice& together,
                           double step_ns) const;
    void bring_up(Sequence& sequence, uint32_t tokens);
    void try_out(Sequence& sequence, uint32_t sequences);
    void guess_near(std::span<Sequence*> near, const DepthQuestion& question,
                    const DepthCosts& costs);

    const SpeculationMode mode_;
    StepTimes times_;
    HitRates rates_;                     // Of all sequences: where a new one begins.
    std::unique_ptr<DraftModel> model_;  // Null: none.
    HitRate model_rate_;                 // Of all sequences.
    TrialBudget trials_;
};

}  // namespace rekindle::scheduler
