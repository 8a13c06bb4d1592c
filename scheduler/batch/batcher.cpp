#include "scheduler/batch/batcher.h"

#include "base/check.h"
#include "runtime/kv_pages.h"
#include "scheduler/batch/page_policy.h"
#include "scheduler/batch/prefill_plan.h"
#include "scheduler/batch/sequence.h"
#include "scheduler/batch/token_sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <utility>

namespace rekindle::scheduler {
namespace {

using runtime::StepEntry;
using runtime::TokenId;

}  // namespace

struct Batcher::State {
    State(runtime::Engine& engine_in, BatcherLimits limits_in)
        : engine(engine_in),
          limits(std::move(limits_in)),
          pages(engine_in, limits.prefix_cache),
          sampler(engine_in.vocabulary(), limits.is_end),
          budget(limits.step_time),
          speculation(limits.speculation) {
        limits.sequences_max =
            std::clamp(limits.sequences_max, 1U, std::max(1U, engine.step_tokens_max()));
        limits.prefill_tokens_max = std::max(1U, limits.prefill_tokens_max);
    }

    Result<void> check(const SequenceRequest& request) const;
    Sequence* find(SequenceId id);
    void admit();

    void plan();
    void plan_prompts(uint32_t tokens);
    void reserve_pages();
    void plan_drafts();
    std::vector<StepEntry> entries();
    Result<void> compute(std::span<const StepEntry> entries, std::vector<const float*>& logits);
    void commit(std::span<const float* const> logits, std::vector<TokenEvent>& events);
    void sample(Sequence& sequence, std::span<const float* const> rows,
                std::vector<TokenEvent>& events);
    void retire(const std::vector<SequenceId>& finished);
    void requeue_preempted();

    runtime::Engine& engine;
    BatcherLimits limits;
    PagePolicy pages;
    TokenSampler sampler;
    StepBudget budget;
    Speculation speculation;
    // Both in order of arrival. A waiting sequence has no pages.
    std::deque<std::unique_ptr<Sequence>> waiting;
    std::vector<std::unique_ptr<Sequence>> running;
    uint64_t arrivals = 0;
    StepWork last;
};

Result<void> Batcher::State::check(const SequenceRequest& request) const {
    if (request.prompt.empty() || request.tokens_max == 0) {
        return Error{ErrorCode::kInvalidArgument,
                     "a sequence needs at least one prompt token and one token to sample"};
    }
    for (const TokenId token : request.prompt) {
        if (token < 0 || static_cast<uint32_t>(token) >= engine.vocabulary()) {
            return Error{ErrorCode::kInvalidArgument,
                         fmt::format("prompt token {} is outside of the vocabulary of {} tokens",
                                     token, engine.vocabulary())};
        }
    }
    if (request.prompt.size() >= engine.context_max()) {
        return Error{ErrorCode::kTooLarge,
                     fmt::format("the prompt has {} tokens, the context {}: nothing could be "
                                 "sampled",
                                 request.prompt.size(), engine.context_max())};
    }
    if (waiting.size() >= limits.queue_max) {
        return Error{ErrorCode::kOverloaded,
                     fmt::format("{} sequences are waiting already", waiting.size())};
    }
    return {};
}

Sequence* Batcher::State::find(SequenceId id) {
    const auto has_id = [id](const auto& sequence) { return sequence->request.id == id; };
    if (const auto it = std::ranges::find_if(running, has_id); it != running.end()) {
        return it->get();
    }
    const auto it = std::ranges::find_if(waiting, has_id);
    return it == waiting.end() ? nullptr : it->get();
}

// Strictly in order of arrival: a large prompt is not overtaken for ever by small ones.
void Batcher::State::admit() {
    while (!waiting.empty() && running.size() < limits.sequences_max &&
           pages.admit(*waiting.front(), running)) {
        const auto after =
            std::ranges::upper_bound(running, waiting.front()->arrival, {},
                                     [](const auto& sequence) { return sequence->arrival; });
        running.insert(after, std::move(waiting.front()));
        waiting.pop_front();
    }
}

// Every sequence that only lacks its last token rides along; prompts share what is left.
void Batcher::State::plan() {
    uint32_t room = engine.step_tokens_max();
    uint32_t decodes = 0;
    for (const auto& sequence : running) {
        const bool rides = sequence->lease > 0 && sequence->pending() == 1 && room > 0;
        sequence->planned = rides ? 1 : 0;
        room -= sequence->planned;
        decodes += sequence->planned;
    }
    plan_prompts(budget.prompt_tokens(decodes, std::min(room, limits.prefill_tokens_max)));
    reserve_pages();
    plan_drafts();
}

// Guesses take what nobody else needs: no rows beside prompts, where every row is multiplied and
// none is free, and no pages that must be taken from another sequence.
void Batcher::State::plan_drafts() {
    std::vector<Sequence*> decodes;
    bool prompts = false;
    for (const auto& sequence : running) {
        if (sequence->draft != nullptr) {
            sequence->draft->forget();
        }
        if (sequence->planned > 0) {
            decodes.push_back(sequence.get());
            prompts = prompts || sequence->pending() > 1 || sequence->wants_prompt_logprobs();
        }
    }
    if (prompts) {
        return;
    }
    speculation.plan(decodes, engine.step_tokens_max() - static_cast<uint32_t>(decodes.size()));
    for (Sequence* sequence : decodes) {
        if (sequence->drafts() > 0) {
            pages.grow_for_drafts(*sequence);
            sequence->planned = 1 + sequence->drafts();
        }
    }
}

void Batcher::State::plan_prompts(uint32_t tokens) {
    std::vector<Sequence*> prompts;
    for (const auto& sequence : running) {
        if (sequence->lease > 0 && sequence->pending() > 1) {
            pages.adopt(*sequence);  // Others may have computed the same since it was admitted.
            prompts.push_back(sequence.get());
        }
    }
    plan_prefill(prompts, {.tokens = tokens, .prefix_cache = limits.prefix_cache});
}

// Oldest first, so that the newest are those that stand back.
void Batcher::State::reserve_pages() {
    for (const auto& sequence : running) {
        if (sequence->planned > 0 && !pages.grow(*sequence, running)) {
            sequence->planned = 0;
        }
    }
    requeue_preempted();
}

// Those that lost their pages wait again, at their place in the order of arrival.
void Batcher::State::requeue_preempted() {
    for (size_t i = running.size(); i > 0; --i) {
        auto& sequence = running[i - 1];
        if (!sequence->kv->pages().empty()) {
            continue;
        }
        if (sequence->draft != nullptr) {
            sequence->draft->model_kv.reset();
        }
        const auto before = std::ranges::lower_bound(
            waiting, sequence->arrival, {}, [](const auto& other) { return other->arrival; });
        waiting.insert(before, std::move(sequence));
        running.erase(running.begin() + static_cast<ptrdiff_t>(i - 1));
    }
}

std::vector<StepEntry> Batcher::State::entries() {
    std::vector<StepEntry> entries;
    for (const auto& sequence : running) {
        if (sequence->planned == 0) {
            continue;
        }
        const bool drafts = sequence->drafts() > 0;
        const std::span<const TokenId> tokens =
            drafts ? std::span<const TokenId>(sequence->draft->run).first(sequence->planned)
                   : std::span<const TokenId>(sequence->tokens)
                         .subspan(sequence->kv->length(), sequence->planned);
        entries.push_back({.kv = sequence->kv.get(),
                           .tokens = tokens,
                           .logits_of_last = sequence->planned == sequence->pending(),
                           .logits_of_all = drafts || sequence->wants_prompt_logprobs()});
    }
    return entries;
}

Result<void> Batcher::State::compute(std::span<const StepEntry> entries,
                                     std::vector<const float*>& logits) {
    StepMeasure measure;
    for (const auto& sequence : running) {
        const bool decodes = sequence->planned > 0 && sequence->pending() == 1;
        (decodes ? measure.decodes : measure.prompt_tokens) +=
            sequence->planned - sequence->drafts();
        measure.drafts += sequence->drafts();
    }
    if (limits.clock == nullptr) {
        return engine.step(entries, logits);
    }
    const Nanoseconds begun = limits.clock->monotonic() - engine.waited();
    auto computed = engine.step(entries, logits);
    measure.time = limits.clock->monotonic() - engine.waited() - begun;
    budget.measured(measure);
    if (measure.prompt_tokens == 0) {
        speculation.measured(measure.decodes + measure.drafts, measure.time);
    }
    return computed;
}

// After the engine's step: kv->length() counts the planned tokens already, guesses too.
void Batcher::State::commit(std::span<const float* const> logits, std::vector<TokenEvent>& events) {
    std::vector<SequenceId> finished;
    for (const auto& sequence : running) {
        if (sequence->planned == 0) {
            continue;
        }
        const bool samples = sequence->kv->length() >= sequence->token_count();
        const size_t rows = sequence->wants_prompt_logprobs() ? sequence->planned
                            : samples                         ? 1 + size_t{sequence->drafts()}
                                                              : size_t{0};
        const auto own = logits.first(rows);
        logits = logits.subspan(rows);
        sampler.collect_prompt_logprobs(*sequence, own);
        if (samples) {
            sample(*sequence, own.last(1 + sequence->drafts()), events);
        }
        pages.publish(*sequence);
        if (samples && events.back().finish != FinishReason::kNone) {
            finished.push_back(sequence->request.id);
        }
    }
    retire(finished);
}

// Row r follows the pending token and r guesses: it counts as long as the guesses were right. The
// cache then forgets what was computed from wrong ones, before anybody else can see it.
void Batcher::State::sample(Sequence& sequence, std::span<const float* const> rows,
                            std::vector<TokenEvent>& events) {
    uint32_t right = 0;
    for (uint32_t r = 0; r < rows.size(); ++r) {
        events.push_back(sampler.sample_next(sequence, rows[r]));
        const TokenEvent& event = events.back();
        speculation.learn(sequence, r, event.token);
        const bool more = r + 1 < rows.size() && event.finish == FinishReason::kNone;
        if (!more || sequence.draft->run[r + 1] != event.token) {
            break;
        }
        ++right;
    }
    sequence.kv->truncate(sequence.token_count() - 1);
    speculation.settle(sequence);
    if (rows.size() > 1) {
        const auto guesses = static_cast<uint32_t>(rows.size()) - 1;
        const bool of_model = sequence.draft->source == GuessSource::kModel;
        ++last.drafts;
        last.draft_tokens += guesses;
        last.draft_accepted += right;
        last.model_tokens += of_model ? guesses : 0;
        last.model_accepted += of_model ? right : 0;
    }
}

void Batcher::State::retire(const std::vector<SequenceId>& finished) {
    std::erase_if(running, [&](const auto& sequence) {
        return std::ranges::find(finished, sequence->request.id) != finished.end();
    });
}

Batcher::Batcher(runtime::Engine& engine, BatcherLimits limits)
    : state_(std::make_unique<State>(engine, std::move(limits))) {}

Batcher::~Batcher() = default;

Result<void> Batcher::attach_draft(runtime::Engine& draft) {
    if (draft.vocabulary() != state_->engine.vocabulary()) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("the draft model has {} tokens in its vocabulary, the model {}",
                                 draft.vocabulary(), state_->engine.vocabulary())};
    }
    const DraftModel::Options options{.prefix_cache = state_->limits.prefix_cache,
                                      .clock = state_->limits.clock};
    state_->speculation.attach(std::make_unique<DraftModel>(draft, options));
    return {};
}

Result<void> Batcher::submit(SequenceRequest request) {
    auto checked = state_->check(request);
    if (!checked) {
        return checked;
    }
    if (state_->find(request.id) != nullptr) {
        return Error{ErrorCode::kAlreadyExists,
                     fmt::format("sequence {} is in the batch already", request.id)};
    }
    const auto room = static_cast<uint32_t>(state_->engine.context_max() - request.prompt.size());
    request.tokens_max = std::min(request.tokens_max, room);
    auto sequence = std::make_unique<Sequence>();
    sequence->arrival = state_->arrivals++;
    sequence->lease = request.lease;
    sequence->tokens = request.prompt;
    sequence->kv = state_->engine.new_sequence();
    if (request.sampling.has_penalties()) {
        sequence->seen.add_prompt(request.prompt);
    }
    sequence->request = std::move(request);
    state_->waiting.push_back(std::move(sequence));
    state_->admit();
    return {};
}

void Batcher::grant(SequenceId id, uint32_t tokens) {
    if (Sequence* sequence = state_->find(id)) {
        sequence->lease += std::min(tokens, UINT32_MAX - sequence->lease);
    }
}

void Batcher::cancel(SequenceId id) {
    const auto has_id = [id](const auto& sequence) { return sequence->request.id == id; };
    std::erase_if(state_->running, has_id);
    std::erase_if(state_->waiting, has_id);
    state_->admit();
}

bool Batcher::runnable() const noexcept {
    return std::ranges::any_of(state_->running,
                               [](const auto& sequence) { return sequence->lease > 0; });
}

bool Batcher::empty() const noexcept {
    return state_->running.empty() && state_->waiting.empty();
}

uint32_t Batcher::waiting() const noexcept {
    return static_cast<uint32_t>(state_->waiting.size());
}

StepWork Batcher::last_step() const noexcept {
    return state_->last;
}

Result<void> Batcher::step(std::vector<TokenEvent>& events) {
    if (!runnable()) {
        return {};
    }
    state_->plan();
    const std::vector<StepEntry> entries = state_->entries();
    REKINDLE_CHECK(!entries.empty(), "the oldest sequence that may sample always gets its pages");
    state_->last = StepWork{.sequences = static_cast<uint32_t>(entries.size())};
    for (const StepEntry& entry : entries) {
        state_->last.tokens += static_cast<uint32_t>(entry.tokens.size());
    }
    std::vector<const float*> logits;
    auto computed = state_->compute(entries, logits);
    if (!computed) {
        return computed;
    }
    state_->commit(logits, events);
    const DraftModelWork work = state_->speculation.take_model_work();
    state_->last.model_rows = work.rows;
    state_->last.model_time = work.time;
    state_->admit();
    return {};
}

}  // namespace rekindle::scheduler
