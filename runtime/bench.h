// How fast an engine is: prompts and batches of answers over random tokens, with what each step has
// to read and to multiply, so that the times can be told as shares of the machine's limits. Used by
// `rekindle bench` and tests/bench/engine_bench.
// Threading: the engine thread.
#pragma once
#include "base/clock.h"
#include "base/result.h"
#include "runtime/engine.h"
#include "snapshot/view/image_view.h"

#include <cstdint>

namespace rekindle::runtime {

// What a model asks of the machine. Bytes are those of the image; an operation is a multiply or an
// add of a product with weights, whatever width its inputs are rounded to.
struct StepCost {
    uint64_t layer_bytes = 0;       // Of weights, read once a step.
    uint64_t head_bytes = 0;        // Read once by a step that wants logits.
    uint64_t kv_token_bytes = 0;    // Keys and values of one position, in all layers.
    uint64_t row_operations = 0;    // Of each token.
    uint64_t logit_operations = 0;  // Of each token whose logits are wanted, on top of that.
};

StepCost step_cost(const snapshot::ImageLayout& layout, kernels::KvType kv_type);

// One measurement: `batch` sequences of `prompt_tokens`, then `answer_tokens` steps of them all.
struct BenchCase {
    uint32_t batch = 1;
    uint32_t prompt_tokens = 0;
    uint32_t answer_tokens = 0;  // 0: the prompt alone.
};

// Prompts, or answers, of one case.
struct BenchPhase {
    Nanoseconds time{};
    uint64_t tokens = 0;
    uint64_t bytes = 0;       // Of weights, keys and values: the least that had to be read.
    uint64_t operations = 0;  // Of products with weights.

    double seconds() const noexcept { return std::chrono::duration<double>(time).count(); }

    double tokens_per_second() const noexcept { return static_cast<double>(tokens) / seconds(); }

    double bytes_per_second() const noexcept { return static_cast<double>(bytes) / seconds(); }

    double operations_per_second() const noexcept {
        return static_cast<double>(operations) / seconds();
    }
};

struct BenchTimes {
    BenchCase what;
    BenchPhase prefill;
    BenchPhase decode;  // Nothing when no answer was asked for.
};

struct BenchOptions {
    StepCost cost;
    uint64_t seed = 0;             // Of the tokens.
    OpProfile* profile = nullptr;  // Of the answers, or of a prompt without them.
};

// Runs one case from empty caches. The tokens are random, the sampling is greedy.
// kInvalidArgument for a case beyond the engine's context or step, kResourceExhausted when the KV
// pool can't hold the batch.
Result<BenchTimes> run_bench(Engine& engine, const BenchCase& what, const BenchOptions& options,
                             const Clock& clock);

}  // namespace rekindle::runtime
