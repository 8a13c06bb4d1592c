#include "scheduler/batch/draft_model.h"

#include "scheduler/batch/sequence.h"

#include <algorithm>
#include <utility>

namespace rekindle::scheduler {
namespace {

using runtime::StepEntry;
using runtime::TokenId;

// Weight of the newest chunk of text.
constexpr double kNewest = 0.25;

}  // namespace

uint32_t DraftModel::behind(const Sequence& sequence) const noexcept {
    const auto& kv = sequence.draft->model_kv;
    return sequence.token_count() - (kv == nullptr ? 0 : kv->length());
}

bool DraftModel::has_room(const Sequence& sequence, uint32_t depth) const noexcept {
    return !failed_ && uint64_t{sequence.token_count()} + depth <= engine_.context_max();
}

// What others computed of the same text is not computed again.
void DraftModel::adopt(Sequence& sequence) {
    auto& kv = sequence.draft->model_kv;
    if (kv == nullptr) {
        kv = engine_.new_sequence();
    }
    if (options_.prefix_cache && kv->length() == kv->published() * runtime::kPageTokens) {
        engine_.kv_pool().adopt(*kv, sequence.text());
    }
}

bool DraftModel::reserve(Sequence& sequence, uint32_t positions) {
    return engine_.reserve(*sequence.draft->model_kv, positions).ok();
}

bool DraftModel::step(std::span<const StepEntry> entries) {
    for (const StepEntry& entry : entries) {
        work_.rows += static_cast<uint32_t>(entry.tokens.size());
    }
    const Nanoseconds begun =
        options_.clock == nullptr ? Nanoseconds{} : options_.clock->monotonic();
    failed_ = !engine_.step(entries, logits_);
    last_time_ = options_.clock == nullptr ? Nanoseconds{} : options_.clock->monotonic() - begun;
    work_.time += last_time_;
    return !failed_;
}

// With the request's own options and random number: where both models think alike they choose
// alike, at any temperature.
TokenId DraftModel::choose(const Sequence& sequence, const float* logits, uint64_t position) {
    return sampler_.sample({logits, engine_.vocabulary()}, sequence.request.sampling, sequence.seen,
                           position);
}

// Rows of one text have their logits in part, and cost less than as many sequences.
void DraftModel::learn_time(uint32_t text_rows) {
    if (text_rows == 1) {
        times_.measured(1, last_time_);
        return;
    }
    const double each = static_cast<double>(last_time_.count()) / text_rows;
    text_token_ns_ += text_token_ns_ == 0 ? each : kNewest * (each - text_token_ns_);
}

void DraftModel::catch_up(Sequence& sequence, uint32_t most, std::vector<bool>& hits) {
    adopt(sequence);
    runtime::KvSequence& kv = *sequence.draft->model_kv;
    const uint32_t first = kv.length();
    const uint32_t count = std::min({most, behind(sequence) - 1, engine_.step_tokens_max()});
    if (count == 0 || !reserve(sequence, first + count)) {
        return;
    }
    const bool of_answer = first + count > sequence.prompt_tokens();
    const StepEntry entry{.kv = &kv,
                          .tokens = std::span(sequence.tokens).subspan(first, count),
                          .logits_of_all = of_answer};
    if (!step(std::span(&entry, 1))) {
        return;
    }
    learn_time(count);
    for (uint32_t row = 0; row < logits_.size(); ++row) {
        const uint32_t next = first + row + 1;
        if (next >= sequence.prompt_tokens()) {
            hits.push_back(choose(sequence, logits_[row], next) == sequence.tokens[next]);
        }
    }
    settle(sequence);
}

void DraftModel::guess(std::span<Sequence* const> sequences, uint32_t depth) {
    std::vector<Sequence*> guessed;
    std::vector<StepEntry> entries;
    uint32_t rows = 0;
    for (Sequence* const sequence : sequences) {
        adopt(*sequence);
        const uint32_t pending = behind(*sequence);
        const bool fits = rows + pending <= engine_.step_tokens_max() &&
                          reserve(*sequence, sequence->token_count() + depth - 1);
        if (fits) {
            rows += pending;
            guessed.push_back(sequence);
            entries.push_back({.kv = sequence->draft->model_kv.get(),
                               .tokens = std::span(sequence->tokens).last(pending),
                               .logits_of_last = true});
        }
    }
    for (uint32_t made = 0; made < depth && !guessed.empty(); ++made) {
        if (!step(entries)) {
            return;
        }
        times_.measured(rows, last_time_);
        for (size_t i = 0; i < guessed.size(); ++i) {
            std::vector<TokenId>& run = guessed[i]->draft->run;
            run.push_back(choose(*guessed[i], logits_[i], guessed[i]->tokens.size() + made));
        }
        // Afterwards: a run that grew lies elsewhere.
        for (size_t i = 0; i < guessed.size(); ++i) {
            entries[i].tokens = std::span<const TokenId>(guessed[i]->draft->run).last(1);
        }
        rows = static_cast<uint32_t>(guessed.size());
    }
}

void DraftModel::settle(Sequence& sequence) {
    if (sequence.draft == nullptr || sequence.draft->model_kv == nullptr) {
        return;
    }
    runtime::KvSequence& kv = *sequence.draft->model_kv;
    // The pending token is always computed anew, even where it was guessed and only not taken.
    kv.truncate(std::min(
        {kv.length(), sequence.draft->verified(sequence.tokens), sequence.token_count() - 1}));
    if (options_.prefix_cache) {
        engine_.kv_pool().publish(kv, sequence.text());
    }
}

DraftModelWork DraftModel::take_work() noexcept {
    return std::exchange(work_, {});
}

}  // namespace rekindle::scheduler
