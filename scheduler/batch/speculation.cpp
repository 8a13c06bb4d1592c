#include "scheduler/batch/speculation.h"

#include "scheduler/batch/sequence.h"

#include <algorithm>
#include <cmath>

namespace rekindle::scheduler {
namespace {

// Guesses must bring so much more than they cost by what is known, which is not exact.
constexpr double kGainMin = 1.03;
// Weight of the newest guess of a sequence: its last twenty or so count.
constexpr double kNewest = 1.0 / 16;
constexpr double kNewestOfAll = 1.0 / 256;

uint32_t draft_limit(const Sequence& sequence) noexcept {
    const uint32_t left = sequence.request.tokens_max - sequence.sampled();
    return std::min({kDraftTokensMax, sequence.lease - 1, left - 1});
}

struct Candidate {
    Draft* draft;
    double chance = 1;  // That all guesses that it took are right.
    double tokens = 1;  // That it may expect of the step.

    double chance_of_next() const noexcept {
        return draft->taken < draft->guesses()
                   ? chance * draft->rates.of(draft->match.length + draft->taken)
                   : 0;
    }

    // By which factor its next guess makes it faster, as a logarithm.
    double gain_of_next() const noexcept { return std::log1p(chance_of_next() / tokens); }

    void take_next() noexcept {
        chance = chance_of_next();
        tokens += chance;
        ++draft->taken;
    }
};

}  // namespace

size_t HitRates::grade(uint32_t match) noexcept {
    return match >= 16 ? 3 : match >= 8 ? 2 : match >= 4 ? 1 : 0;
}

void HitRates::learn(uint32_t match, bool hit, double weight) noexcept {
    double& rate = rates_[grade(match)];
    rate += weight * ((hit ? 1.0 : 0.0) - rate);
}

void Speculation::guess(Sequence& sequence) const {
    if (sequence.draft == nullptr) {
        sequence.draft = std::make_unique<Draft>();
        sequence.draft->rates = rates_;
    }
    Draft& draft = *sequence.draft;
    draft.index.extend(sequence.tokens);
    draft.match = draft.index.find(sequence.tokens);
    draft.run.assign(1, sequence.tokens.back());
    guess_from(draft.match, sequence.tokens, draft_limit(sequence), draft.run);
}

// Takes guesses in the order of what they gain, best first, and finds how many of them are best in
// all: time does not rise evenly with rows, so all counts are looked at.
void Speculation::plan(std::span<Sequence* const> decodes, uint32_t rows) {
    const auto count = static_cast<uint32_t>(decodes.size());
    if (mode_ == SpeculationMode::kOff || count == 0 || count >= StepTimes::kRowsMax) {
        return;
    }
    std::vector<Candidate> candidates;
    for (Sequence* sequence : decodes) {
        guess(*sequence);
        candidates.push_back({.draft = sequence->draft.get()});
    }
    std::vector<Draft*> order;
    std::vector<double> gains;
    rows = std::min(rows, StepTimes::kRowsMax - count);
    while (order.size() < rows) {
        Candidate& best = *std::ranges::max_element(candidates, {}, &Candidate::gain_of_next);
        if (best.chance_of_next() <= 0) {
            break;
        }
        gains.push_back(best.gain_of_next());
        order.push_back(best.draft);
        best.take_next();
    }
    for (size_t kept = worthwhile(gains, count); kept < order.size(); ++kept) {
        --order[kept]->taken;
    }
}

// How many of the guesses, whose gains fall, to compute beside the tokens of `sequences`. What the
// sequences gain by them, on average, must be more than what all of them lose by a longer step: so
// one that is guessed well does not make the others slow.
uint32_t Speculation::worthwhile(std::span<const double> gains, uint32_t sequences) const noexcept {
    if (mode_ == SpeculationMode::kAlways) {
        return static_cast<uint32_t>(gains.size());
    }
    double gain = 0;
    double best = std::log(kGainMin);
    uint32_t best_count = 0;
    for (uint32_t i = 0; i < gains.size(); ++i) {
        gain += gains[i] / sequences;
        const double loss = std::log(times_.of(sequences + i + 1) / times_.of(sequences));
        if (gain - loss > best) {
            best = gain - loss;
            best_count = i + 1;
        }
    }
    return best_count;
}

void Speculation::learn(Sequence& sequence, uint32_t index, runtime::TokenId sampled) noexcept {
    Draft* const draft = sequence.draft.get();
    if (draft == nullptr || index >= draft->guesses()) {
        return;
    }
    const bool hit = draft->run[index + 1] == sampled;
    draft->rates.learn(draft->match.length + index, hit, kNewest);
    rates_.learn(draft->match.length + index, hit, kNewestOfAll);
}

}  // namespace rekindle::scheduler
