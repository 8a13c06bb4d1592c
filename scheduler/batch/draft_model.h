// A second, smaller model of the same vocabulary that guesses the next tokens of sequences. It has
// KV pages of its own, shared between sequences as the model's are, and computes a sequence's text
// behind the model: what the model accepted of its guesses stays, the rest is cut off.
// Invariant: nothing that it does changes a token of an answer; a page that others may find holds
// verified text only. A sequence for which it has no page or no position left is not guessed for.
// Threading: the engine thread. Ownership: the engine outlives it, and it every sequence that it
// guessed for.
#pragma once
#include "base/clock.h"
#include "runtime/engine.h"
#include "runtime/sampler.h"
#include "scheduler/batch/step_times.h"

#include <cstdint>
#include <span>
#include <vector>

namespace rekindle::scheduler {

struct Sequence;

// What it did in a step.
struct DraftModelWork {
    uint32_t rows = 0;  // Tokens that it computed.
    Nanoseconds time{};
};

class DraftModel {
public:
    struct Options {
        bool prefix_cache = true;
        const Clock* clock = nullptr;  // Null: nothing is learned of its times.
    };

    DraftModel(runtime::Engine& engine, const Options& options)
        : engine_(engine), options_(options) {}

    // Tokens of `sequence` that it has not computed, the pending one included: at least one.
    uint32_t behind(const Sequence& sequence) const noexcept;
    // Whether it has positions for the whole text and `depth` guesses.
    bool has_room(const Sequence& sequence, uint32_t depth) const noexcept;

    // Computes the next `most` tokens of the sequence's text, or as many as there are before the
    // pending one. Compares what follows each in the answer with what it would have guessed: `hits`
    // gets one entry for each, in order.
    void catch_up(Sequence& sequence, uint32_t most, std::vector<bool>& hits);
    // `depth` guesses for each of `sequences`, put into their `draft->run`, which holds the pending
    // token. Those that find no page get none.
    void guess(std::span<Sequence* const> sequences, uint32_t depth);
    // After a step: keeps what it computed as far as it is the sequence's text now.
    void settle(Sequence& sequence);

    // Of its steps for so many sequences.
    const StepTimes& times() const noexcept { return times_; }

    // Nanoseconds of a token of a text that it catches up with; 0 before any was measured.
    double text_token_ns() const noexcept { return text_token_ns_; }

    // Since take_work().
    const DraftModelWork& work() const noexcept { return work_; }

    DraftModelWork take_work() noexcept;

private:
    bool reserve(Sequence& sequence, uint32_t positions);
    void adopt(Sequence& sequence);
    // False when it failed: then it computes nothing any more.
    bool step(std::span<const runtime::StepEntry> entries);
    void learn_time(uint32_t text_rows);
    runtime::TokenId choose(const Sequence& sequence, const float* logits, uint64_t position);

    runtime::Engine& engine_;
    const Options options_;
    runtime::Sampler sampler_;
    StepTimes times_;
    double text_token_ns_ = 0;
    DraftModelWork work_;
    Nanoseconds last_time_{};  // Of the last step.
    std::vector<const float*> logits_;
    bool failed_ = false;
};

}  // namespace rekindle::scheduler
