// Time to sample one token from a vocabulary of 262,144 (or 49,152) logits, by options. Logits are
// drawn as a model's look: most of them far below a few likely ones.
//   sampler_bench [--benchmark_filter=262144]
#include "base/random.h"
#include "runtime/sampler.h"

#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace rekindle::runtime;
using rekindle::counter_uniform;

// Normal with a deviation of 3, plus a few dozen likely tokens.
std::vector<float> model_like_logits(size_t count) {
    std::vector<float> logits(count);
    for (size_t i = 0; i < count; ++i) {
        const double u = 1 - counter_uniform(1, 0, i);
        const double v = counter_uniform(1, 1, i);
        logits[i] = static_cast<float>(3 * std::sqrt(-2 * std::log(u)) * std::cos(6.2831853 * v));
    }
    for (size_t i = 0; i < 40; ++i) {
        logits[i * 7919 % count] = static_cast<float>(20 - 0.3 * static_cast<double>(i));
    }
    return logits;
}

TokenCounts seen_tokens(size_t prompt, size_t sampled, size_t vocabulary) {
    TokenCounts seen;
    for (size_t i = 0; i < prompt; ++i) {
        seen.add_prompt(std::vector<TokenId>{static_cast<TokenId>(i * 104'729 % vocabulary)});
    }
    for (size_t i = 0; i < sampled; ++i) {
        seen.add_sampled(static_cast<TokenId>(i * 7919 % vocabulary));
    }
    return seen;
}

void run(benchmark::State& state, size_t vocabulary, const SamplingOptions& options) {
    const std::vector<float> logits = model_like_logits(vocabulary);
    const TokenCounts seen = seen_tokens(2000, 500, vocabulary);
    Sampler sampler;
    uint64_t position = 0;
    for (auto _ : state) {
        benchmark::DoNotOptimize(sampler.sample(logits, options, seen, position++));
    }
}

void run_logprobs(benchmark::State& state, size_t vocabulary) {
    const std::vector<float> logits = model_like_logits(vocabulary);
    Sampler sampler;
    std::vector<LogprobEntry> top;
    for (auto _ : state) {
        benchmark::DoNotOptimize(sampler.top_logprobs(logits, 3, kTopLogprobsMax, top));
    }
}

}  // namespace

int main(int argc, char** argv) {
    std::vector<LogitBias> bias;
    for (TokenId i = 0; i < 300; ++i) {
        bias.push_back({i * 100, -1});
    }
    const std::vector<std::pair<const char*, SamplingOptions>> cases{
        {"greedy", {.temperature = 0}},
        {"temperature", {.temperature = 1}},
        {"top_k 40", {.top_k = 40}},
        {"top_k 1000", {.top_k = 1000}},
        {"top_p 0.95", {.top_p = 0.95F}},
        {"top_p 0.95, temperature 2", {.temperature = 2, .top_p = 0.95F}},
        {"min_p 0.05", {.min_p = 0.05F}},
        {"top_k 40, top_p 0.95, min_p 0.05", {.top_p = 0.95F, .top_k = 40, .min_p = 0.05F}},
        {"top_k 40, three penalties, 2500 tokens",
         {.top_k = 40,
          .repetition_penalty = 1.1F,
          .presence_penalty = 0.5F,
          .frequency_penalty = 0.5F}},
        {"top_k 40, logit_bias of 300", {.top_k = 40, .logit_bias = bias}},
        {"everything",
         {.top_p = 0.95F,
          .top_k = 40,
          .min_p = 0.05F,
          .repetition_penalty = 1.1F,
          .presence_penalty = 0.5F,
          .frequency_penalty = 0.5F,
          .logit_bias = bias}},
    };
    for (const size_t vocabulary : {size_t{262'144}, size_t{49'152}}) {
        const std::string size = std::to_string(vocabulary) + "/";
        for (const auto& [name, options] : cases) {
            benchmark::RegisterBenchmark((size + name).c_str(), run, vocabulary, options)
                ->Unit(benchmark::kMicrosecond);
        }
        benchmark::RegisterBenchmark((size + "20 top_logprobs").c_str(), run_logprobs, vocabulary)
            ->Unit(benchmark::kMicrosecond);
    }
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 1;
    }
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
