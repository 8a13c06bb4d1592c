#include "scheduler/batch/speculation.h"

#include "scheduler/batch/sequence.h"

#include <algorithm>
#include <cmath>

namespace rekindle::scheduler {
namespace {

using runtime::TokenId;

// Weight of the newest guess of a sequence: its last twenty or so count.
constexpr double kNewest = 1.0 / 16;
constexpr double kNewestOfAll = 1.0 / 256;
// Guesses of a draft model for a sequence that say more about it than those for all.
constexpr uint32_t kOwnGuesses = 8;
// With kAlways even guesses that are never right are computed.
constexpr double kRateAlways = 0.01;

struct Candidate {
    Draft* draft;
    double model_rate = 0;
    double chance = 1;  // That all guesses that it took are right.
    double tokens = 1;  // That it may expect of the step.

    double rate_of_next() const noexcept {
        return draft->source == GuessSource::kModel
                   ? model_rate
                   : draft->rates.of(draft->match.length + draft->taken);
    }

    double chance_of_next() const noexcept {
        return draft->taken < draft->guesses() ? chance * rate_of_next() : 0;
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

uint32_t Draft::verified(std::span<const TokenId> text) const noexcept {
    if (run.empty()) {
        return static_cast<uint32_t>(text.size());
    }
    uint32_t right = 0;
    while (right + 1 < run.size() && base + right + 1 < text.size() &&
           run[right + 1] == text[base + right + 1]) {
        ++right;
    }
    return base + 1 + right;
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
    draft.base = sequence.token_count() - 1;
    draft.source = GuessSource::kText;
    guess_from(draft.match, sequence.tokens, sequence.guesses_max(), draft.run);
}

double Speculation::model_rate(const Sequence& sequence) const noexcept {
    const HitRate& own = sequence.draft->model_rate;
    const double rate = (own.seen() < kOwnGuesses ? model_rate_ : own).value();
    return mode_ == SpeculationMode::kAlways ? std::max(rate, kRateAlways) : rate;
}

void Speculation::plan(std::span<Sequence* const> decodes, uint32_t rows) {
    const auto count = static_cast<uint32_t>(decodes.size());
    if (mode_ == SpeculationMode::kOff || count == 0 || count >= StepTimes::kRowsMax) {
        return;
    }
    for (Sequence* sequence : decodes) {
        guess(*sequence);
    }
    rows = std::min(rows, StepTimes::kRowsMax - count);
    if (model_ != nullptr) {
        ask_model(decodes, rows);
    }
    take(decodes, rows, count);
}

// Takes guesses in the order of what they gain, best first, and finds how many of them are best in
// all: time does not rise evenly with rows, so all counts are looked at.
uint32_t Speculation::take(std::span<Sequence* const> decodes, uint32_t rows,
                           uint32_t sequences) const {
    std::vector<Candidate> candidates;
    for (const Sequence* sequence : decodes) {
        sequence->draft->taken = 0;
        candidates.push_back({.draft = sequence->draft.get(), .model_rate = model_rate(*sequence)});
    }
    std::vector<Draft*> order;
    std::vector<double> gains;
    while (order.size() < rows && !candidates.empty()) {
        Candidate& best = *std::ranges::max_element(candidates, {}, &Candidate::gain_of_next);
        if (best.chance_of_next() <= 0) {
            break;
        }
        gains.push_back(best.gain_of_next());
        order.push_back(best.draft);
        best.take_next();
    }
    const uint32_t kept = worthwhile(gains, sequences);
    for (size_t i = kept; i < order.size(); ++i) {
        --order[i]->taken;
    }
    return kept;
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

void Speculation::learn(Sequence& sequence, uint32_t index, TokenId sampled) noexcept {
    Draft* const draft = sequence.draft.get();
    if (draft == nullptr || index >= draft->guesses()) {
        return;
    }
    const bool hit = draft->run[index + 1] == sampled;
    if (draft->source == GuessSource::kModel) {
        learn_of_model(sequence, hit);
        return;
    }
    draft->rates.learn(draft->match.length + index, hit, kNewest);
    rates_.learn(draft->match.length + index, hit, kNewestOfAll);
}

void Speculation::settle(Sequence& sequence) {
    if (model_ != nullptr) {
        model_->settle(sequence);
    }
}

DraftModelWork Speculation::take_model_work() noexcept {
    return model_ == nullptr ? DraftModelWork{} : model_->take_work();
}

}  // namespace rekindle::scheduler
