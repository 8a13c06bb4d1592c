// An engine over a small random model, and ways to run a batcher on it.
#pragma once
#include "scheduler/batch/batcher.h"
#include "tests/runtime/synthetic_model.h"

#include <cstdint>
#include <vector>

namespace rekindle::tests {

struct BatchFixtureOptions {
    uint32_t kv_pages = 64;
    uint32_t threads = 1;
    uint32_t step_tokens_max = 512;
};

struct BatchFixture {
    explicit BatchFixture(BatchFixtureOptions options = {});

    MemoryImage image;
    EngineFixture engine;
    uint32_t pages;
};

std::vector<runtime::TokenId> random_prompt(size_t tokens, uint64_t seed);

// Steps while something is runnable.
std::vector<scheduler::TokenEvent> run_until_idle(scheduler::Batcher& batcher);

std::vector<runtime::TokenId> tokens_of(const std::vector<scheduler::TokenEvent>& events,
                                        scheduler::SequenceId id);

// Tokens, log-probabilities to the last bit, and how the answer ended.
bool same_bits(const scheduler::TokenEvent& a, const scheduler::TokenEvent& b);

// What `request` samples with an engine and a batcher of its own, and all the lease it needs.
std::vector<runtime::TokenId> run_alone(scheduler::SequenceRequest request);

}  // namespace rekindle::tests
