#include "runtime/bench.h"

#include "base/random.h"
#include "runtime/kv_pages.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace rekindle::runtime {
namespace {

constexpr uint64_t kOperationsPerWeight = 2;  // A multiply and an add.

TokenId most_likely(const float* logits, uint32_t vocabulary) noexcept {
    return static_cast<TokenId>(std::max_element(logits, logits + vocabulary) - logits);
}

// The sequences of one case. Each has the tokens that its next step appends.
class Batch {
public:
    Batch(Engine& engine, const BenchCase& what, const BenchOptions& options)
        : engine_(engine), what_(what), cost_(options.cost) {
        for (uint32_t i = 0; i < what.batch; ++i) {
            sequences_.push_back(engine.new_sequence());
            std::vector<TokenId> prompt;
            for (uint32_t at = 0; at < what.prompt_tokens; ++at) {
                const uint64_t random = counter_random(options.seed, i, at);
                prompt.push_back(static_cast<TokenId>(random % engine.vocabulary()));
            }
            prompts_.push_back(std::move(prompt));
        }
    }

    Result<void> reserve() {
        for (const auto& sequence : sequences_) {
            auto reserved = engine_.reserve(*sequence, what_.prompt_tokens + what_.answer_tokens);
            if (!reserved) {
                return reserved;
            }
        }
        return {};
    }

    // All prompts, in steps as full as they may be.
    Result<void> prefill(BenchPhase& phase) {
        std::vector<StepEntry> entries;
        uint32_t room = engine_.step_tokens_max();
        for (uint32_t i = 0; i < what_.batch; ++i) {
            std::span<const TokenId> rest(prompts_[i]);
            while (!rest.empty()) {
                const auto piece = rest.first(std::min<size_t>(room, rest.size()));
                rest = rest.subspan(piece.size());
                entries.push_back(
                    {.kv = sequences_[i].get(), .tokens = piece, .logits_of_last = rest.empty()});
                room -= static_cast<uint32_t>(piece.size());
                if (room > 0 && (i + 1 < what_.batch || !rest.empty())) {
                    continue;
                }
                auto stepped = step(entries, phase);
                if (!stepped) {
                    return stepped;
                }
                entries.clear();
                room = engine_.step_tokens_max();
            }
        }
        return {};
    }

    Result<void> decode(BenchPhase& phase) {
        for (uint32_t done = 0; done < what_.answer_tokens; ++done) {
            const std::vector<TokenId> appended = std::exchange(next_, {});
            std::vector<StepEntry> entries;
            for (uint32_t i = 0; i < what_.batch; ++i) {
                entries.push_back({.kv = sequences_[i].get(),
                                   .tokens = {&appended[i], 1},
                                   .logits_of_last = true});
            }
            auto stepped = step(entries, phase);
            if (!stepped) {
                return stepped;
            }
        }
        return {};
    }

private:
    // Appends the sampled tokens to next_, in entry order.
    Result<void> step(std::span<const StepEntry> entries, BenchPhase& phase) {
        auto computed = engine_.step(entries, logits_);
        for (const float* row : logits_) {
            next_.push_back(most_likely(row, engine_.vocabulary()));
        }
        phase.bytes += cost_.layer_bytes + (logits_.empty() ? 0 : cost_.head_bytes);
        phase.operations += logits_.size() * cost_.logit_operations;
        for (const StepEntry& entry : entries) {
            phase.tokens += entry.tokens.size();
            phase.bytes += entry.kv->length() * cost_.kv_token_bytes;
            phase.operations += entry.tokens.size() * cost_.row_operations;
        }
        return computed;
    }

    Engine& engine_;
    const BenchCase what_;
    const StepCost cost_;
    std::vector<std::unique_ptr<KvSequence>> sequences_;
    std::vector<std::vector<TokenId>> prompts_;
    std::vector<TokenId> next_;
    std::vector<const float*> logits_;
};

Result<void> check_case(const Engine& engine, const BenchCase& what) {
    if (what.batch == 0 || what.prompt_tokens == 0 || what.batch > engine.step_tokens_max()) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("a case of {} sequences with prompts of {} tokens can't be "
                                 "measured: both are at least 1, and a step has {} tokens at most",
                                 what.batch, what.prompt_tokens, engine.step_tokens_max())};
    }
    const uint64_t positions = uint64_t{what.prompt_tokens} + what.answer_tokens;
    if (positions > engine.context_max()) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("{} tokens of prompt and answer are longer than the context of {}",
                                 positions, engine.context_max())};
    }
    return {};
}

}  // namespace

StepCost step_cost(const snapshot::ImageLayout& layout, kernels::KvType kv_type) {
    const auto& facts = layout.hyperparameters;
    StepCost cost{.kv_token_bytes = kv_page_bytes(facts, kv_type) / kernels::kPageTokens};
    const std::string_view head = facts.tied_output ? "token_embd.weight" : "output.weight";
    for (const auto& tensor : layout.tensors) {
        const bool matrix = tensor.rows > 1;
        const uint64_t operations =
            matrix ? kOperationsPerWeight * tensor.rows * tensor.columns : 0;
        if (tensor.name.starts_with("blk.")) {
            cost.layer_bytes += tensor.bytes;
            cost.row_operations += operations;
        } else if (tensor.name == head) {
            cost.head_bytes += tensor.bytes;
            cost.logit_operations += operations;
        }
    }
    return cost;
}

Result<BenchTimes> run_bench(Engine& engine, const BenchCase& what, const BenchOptions& options,
                             const Clock& clock) {
    const auto checked = check_case(engine, what);
    if (!checked) {
        return checked.error();
    }
    Batch batch(engine, what, options);
    const auto reserved = batch.reserve();
    if (!reserved) {
        return reserved.error();
    }
    const bool answers = what.answer_tokens > 0;
    BenchTimes times{.what = what};
    engine.set_profile(answers ? nullptr : options.profile);
    const Nanoseconds start = clock.monotonic();
    auto computed = batch.prefill(times.prefill);
    const Nanoseconds prefilled = clock.monotonic();
    times.prefill.time = prefilled - start;
    if (computed && answers) {
        engine.set_profile(options.profile);
        computed = batch.decode(times.decode);
        times.decode.time = clock.monotonic() - prefilled;
    }
    engine.set_profile(nullptr);
    return computed ? Result<BenchTimes>(times) : computed.error();
}

}  // namespace rekindle::runtime
