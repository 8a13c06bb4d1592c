// How fast an engine is, and how fast its machine could be: prompts and batches of answers over
// random tokens, beside the memory limit that the same run measures. Used by `rekindle bench` and
// tests/bench/engine_bench.
// Threading: the engine thread.
#pragma once
#include "base/clock.h"
#include "base/result.h"
#include "runtime/engine.h"

#include <cstdint>
#include <vector>

namespace rekindle::runtime {

// One measurement: `batch` sequences of `prompt_tokens`, then `answer_tokens` steps of them all.
struct BenchCase {
    uint32_t batch = 1;
    uint32_t prompt_tokens = 0;
    uint32_t answer_tokens = 0;  // 0: the prompt alone.
};

struct BenchTimes {
    BenchCase what;
    double prefill_seconds = 0;
    double decode_seconds = 0;
    uint64_t kv_bytes_read = 0;  // Keys and values that all decode steps together read.

    double prefill_tokens_per_second() const noexcept {
        return double{1} * what.batch * what.prompt_tokens / prefill_seconds;
    }

    double decode_tokens_per_second() const noexcept {
        return double{1} * what.batch * what.answer_tokens / decode_seconds;
    }
};

// Runs one case from empty caches. The tokens are random (`seed`), the sampling is greedy.
// kResourceExhausted when the KV pool can't hold the batch.
Result<BenchTimes> run_bench(Engine& engine, const BenchCase& what, uint64_t kv_token_bytes,
                             uint64_t seed, const Clock& clock);

// Bytes per second that `threads` threads together read from memory (not from a cache): the best
// of a few passes over 64 MiB a thread.
double measure_memory_read(uint32_t threads, const Clock& clock);

}  // namespace rekindle::runtime
