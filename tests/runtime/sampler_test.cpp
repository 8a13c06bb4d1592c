#include "runtime/sampler.h"

#include "base/random.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <numeric>
#include <set>
#include <vector>

using rekindle::counter_uniform;
using rekindle::runtime::LogprobEntry;
using rekindle::runtime::Sampler;
using rekindle::runtime::SamplingOptions;
using rekindle::runtime::TokenCounts;
using rekindle::runtime::TokenId;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

TokenId sample(const std::vector<float>& logits, const SamplingOptions& options,
               uint64_t position) {
    return Sampler().sample(logits, options, TokenCounts(), position);
}

float top_logprobs(const std::vector<float>& logits, TokenId chosen, uint32_t count,
                   std::vector<LogprobEntry>& top) {
    return Sampler().top_logprobs(logits, chosen, count, top);
}

std::vector<float> random_logits(size_t count, uint64_t seed) {
    std::vector<float> logits(count);
    for (size_t i = 0; i < count; ++i) {
        logits[i] = static_cast<float>(counter_uniform(seed, 1, i) * 16 - 8);
    }
    return logits;
}

std::map<TokenId, int> histogram(const std::vector<float>& logits, SamplingOptions options,
                                 int draws) {
    std::map<TokenId, int> counts;
    for (int i = 0; i < draws; ++i) {
        ++counts[sample(logits, options, static_cast<uint64_t>(i))];
    }
    return counts;
}

}  // namespace

TEST_CASE("temperature 0 takes the most likely token, ties to the lowest id") {
    const std::vector<float> logits{1, 5, 3, 5};
    CHECK(sample(logits, {.temperature = 0}, 0) == 1);
    CHECK(sample(logits, {.temperature = 0, .seed = 99}, 7) == 1);
}

TEST_CASE("a draw depends on the seed and the position alone") {
    const std::vector<float> logits = random_logits(5000, 3);
    const SamplingOptions options{.temperature = 1.5F, .seed = 11};
    std::set<TokenId> tokens;
    for (uint64_t position = 0; position < 50; ++position) {
        CHECK(sample(logits, options, position) == sample(logits, options, position));
        tokens.insert(sample(logits, options, position));
    }
    CHECK(tokens.size() > 20);
}

TEST_CASE("tokens are drawn as often as softmax of the logits over the temperature says") {
    const std::vector<float> logits{0, 1, 2, -1};
    for (const float temperature : {0.5F, 1.0F, 2.0F}) {
        constexpr int kDraws = 20'000;
        const auto counts = histogram(logits, {.temperature = temperature, .seed = 5}, kDraws);
        double total = 0;
        for (const float logit : logits) {
            total += std::exp(double{logit} / double{temperature});
        }
        for (size_t i = 0; i < logits.size(); ++i) {
            const double expected = std::exp(double{logits[i]} / double{temperature}) / total;
            const auto found = counts.find(static_cast<TokenId>(i));
            const double measured = found == counts.end() ? 0 : double(found->second) / kDraws;
            CHECK(std::abs(measured - expected) < 0.015);
        }
    }
}

TEST_CASE("top_k leaves the k most likely tokens, ties to the lowest ids") {
    std::vector<float> logits(1000, 0.0F);
    logits[500] = 1;
    const auto counts = histogram(logits, {.temperature = 1, .top_k = 3, .seed = 1}, 3000);
    CHECK(counts.size() == 3);
    CHECK(counts.contains(500));
    CHECK(counts.contains(0));
    CHECK(counts.contains(1));
}

TEST_CASE("top_p leaves the smallest set of likely tokens that reaches p") {
    // Probabilities 0.5, 0.25, 0.125, 0.125.
    const float ln2 = std::log(2.0F);
    const std::vector<float> logits{-3 * ln2, -ln2, -2 * ln2, -3 * ln2};
    CHECK(histogram(logits, {.temperature = 1, .top_p = 0.45F}, 500).size() == 1);
    CHECK(histogram(logits, {.temperature = 1, .top_p = 0.7F}, 500).size() == 2);
    const auto three = histogram(logits, {.temperature = 1, .top_p = 0.8F}, 2000);
    CHECK(three.size() == 3);
    CHECK(three.contains(0));  // A tie with 3: the lower id stays.
    CHECK(histogram(logits, {.temperature = 1, .top_p = 1.0F}, 2000).size() == 4);
}

TEST_CASE("top_p finds its set in a flat distribution of 262,144 tokens too") {
    const std::vector<float> logits(262'144, 1.0F);
    for (uint64_t position = 0; position < 5; ++position) {
        const TokenId token = sample(logits, {.temperature = 1, .top_p = 0.5F}, position);
        CHECK(token >= 0);
        CHECK(token <= 131'072);
    }
}

TEST_CASE("a wide nucleus that is drawn from all has the same shares, and nothing of the rest") {
    std::vector<float> logits(20'000, 0.0F);
    std::fill(logits.begin() + 4'000, logits.begin() + 8'000, 1.0F);
    std::fill(logits.begin() + 8'000, logits.end(), -2.0F);
    // By weight: the middle 4,000 have 0.63 of all, the first 4,000 0.23, the last 12,000 0.09.
    const double middle = 4'000 * std::exp(1.0);
    const double total = middle + 4'000 + 12'000 * std::exp(-2.0);
    const auto top_p = static_cast<float>((middle + 2'000) / total);
    constexpr int kDraws = 4'000;
    int of_middle = 0;
    for (uint64_t position = 0; position < kDraws; ++position) {
        const TokenId token = sample(logits, {.temperature = 1, .top_p = top_p}, position);
        CHECK(token < 8'000);
        CHECK((token <= 2'000 || token >= 4'000));  // Of ties the lower ids.
        of_middle += token >= 4'000 ? 1 : 0;
    }
    const double share = middle / (middle + 2'000);
    CHECK(std::abs(of_middle - kDraws * share) < 4 * std::sqrt(kDraws * share * (1 - share)));
}

TEST_CASE("min_p leaves tokens whose probability is that part of the best one's") {
    const float ln2 = std::log(2.0F);
    const std::vector<float> logits{0, -ln2, -2 * ln2, -3 * ln2};
    CHECK(histogram(logits, {.temperature = 1, .min_p = 0.4F}, 1000).size() == 2);
    CHECK(histogram(logits, {.temperature = 1, .min_p = 0.2F}, 1000).size() == 3);
}

TEST_CASE("logits that are not numbers never crash and are never sampled") {
    for (const SamplingOptions& options :
         {SamplingOptions{.temperature = 0}, SamplingOptions{.temperature = 1},
          SamplingOptions{.temperature = 1, .top_p = 0.5F},
          SamplingOptions{.temperature = 1, .top_k = 2, .min_p = 0.1F}}) {
        CHECK(sample(std::vector<float>{kNan, 1, kNan}, options, 3) == 1);
        CHECK(sample(std::vector<float>{0, kInfinity, kInfinity}, options, 3) == 1);
        CHECK(sample(std::vector<float>{-kInfinity, 0, -kInfinity}, options, 3) == 1);
        CHECK(sample(std::vector<float>{kNan, kNan}, options, 3) == 0);
        CHECK(sample(std::vector<float>{-kInfinity, -kInfinity}, options, 3) == 0);
    }
}

TEST_CASE("odd options are taken for the nearest sensible ones") {
    const std::vector<float> logits{0, 3, 1};
    CHECK(sample(logits, {.temperature = -1}, 0) == 1);
    CHECK(sample(logits, {.temperature = kNan}, 0) == 1);
    CHECK(sample(logits, {.temperature = 1e-30F}, 0) == 1);
    CHECK(sample(logits, {.temperature = 1, .top_p = 0}, 0) == 1);
    CHECK(sample(logits, {.temperature = 1, .top_p = kNan}, 0) >= 0);
    CHECK(sample(logits, {.temperature = 1, .min_p = kNan}, 0) >= 0);
    CHECK(sample(logits, {.temperature = 1, .top_k = 1'000'000}, 0) >= 0);
}

TEST_CASE("log-probabilities are those of softmax, best first, ties to the lowest id") {
    std::vector<float> logits = random_logits(49'152, 8);
    logits[40] = 9;
    logits[30] = 9;
    logits[20] = 10;
    double total = 0;
    for (const float logit : logits) {
        total += std::exp(double{logit});
    }
    std::vector<LogprobEntry> top;

    const float chosen = top_logprobs(logits, 12, 20, top);

    CHECK(std::abs(double{chosen} - (double{logits[12]} - std::log(total))) < 1e-4);
    REQUIRE(top.size() == 20);
    CHECK(top[0].token == 20);
    CHECK(top[1].token == 30);
    CHECK(top[2].token == 40);
    std::vector<TokenId> order(logits.size());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::sort(order, [&](TokenId a, TokenId b) {
        const float x = logits[static_cast<size_t>(a)];
        const float y = logits[static_cast<size_t>(b)];
        return x > y || (x == y && a < b);
    });
    for (size_t i = 0; i < top.size(); ++i) {
        CHECK(top[i].token == order[i]);
        const double expected = double{logits[static_cast<size_t>(order[i])]} - std::log(total);
        CHECK(std::abs(double{top[i].logprob} - expected) < 1e-4);
    }
}

TEST_CASE("log-probabilities stay finite for logits that are not") {
    std::vector<LogprobEntry> top;
    CHECK(top_logprobs(std::vector<float>{kNan, 0, -kInfinity}, 0, 3, top) == -9999.0F);
    REQUIRE(top.size() == 2);
    CHECK(top[0].token == 1);
    CHECK(top[1].logprob == -9999.0F);
    CHECK(top_logprobs(std::vector<float>{kNan, kNan}, 1, 3, top) == -9999.0F);
    CHECK(top.empty());
}

namespace {

struct Said {
    std::vector<TokenId> prompt;
    std::vector<TokenId> sampled;
};

// The definitions of logit_bias and of the penalties.
std::vector<float> adjust_simply(std::vector<float> logits, const SamplingOptions& options,
                                 const Said& said) {
    for (const auto& [token, bias] : options.logit_bias) {
        logits[static_cast<size_t>(token)] += bias;
    }
    std::map<TokenId, uint32_t> counts;
    for (const TokenId token : said.prompt) {
        counts.emplace(token, 0);
    }
    for (const TokenId token : said.sampled) {
        ++counts[token];
    }
    for (const auto& [token, count] : counts) {
        float& logit = logits[static_cast<size_t>(token)];
        logit = logit > 0 ? logit / options.repetition_penalty : logit * options.repetition_penalty;
        if (count > 0) {
            logit -=
                options.presence_penalty + options.frequency_penalty * static_cast<float>(count);
        }
    }
    return logits;
}

// The definition of the rest: sort everything, then cut.
TokenId sample_simply(const std::vector<float>& logits, const SamplingOptions& options,
                      uint64_t position) {
    std::vector<TokenId> order(logits.size());
    std::iota(order.begin(), order.end(), 0);
    const auto logit = [&](TokenId token) { return logits[static_cast<size_t>(token)]; };
    std::ranges::sort(order, [&](TokenId a, TokenId b) {
        return logit(a) > logit(b) || (logit(a) == logit(b) && a < b);
    });
    if (options.temperature == 0) {
        return order[0];
    }
    const float best = logit(order[0]);
    const auto weight = [&](TokenId token) {
        return std::exp((logit(token) - best) * (1.0F / options.temperature));
    };
    std::erase_if(order, [&](TokenId token) { return weight(token) < options.min_p; });
    if (options.top_k > 0 && options.top_k < order.size()) {
        order.resize(options.top_k);
    }
    double total = 0;
    for (const TokenId token : order) {
        total += double{weight(token)};
    }
    const std::vector<TokenId> all = order;
    const double all_weight = total;
    double kept = 0;
    for (size_t i = 0; i < order.size() && options.top_p < 1; ++i) {
        kept += double{weight(order[i])};
        if (kept >= double{options.top_p} * total) {
            order.resize(i + 1);
            total = kept;
        }
    }
    const auto draw = [&](std::vector<TokenId> from, uint64_t choice, double sum) {
        std::ranges::sort(from);  // The draw walks by id.
        double rest = counter_uniform(options.seed, choice, position) * sum;
        for (const TokenId token : from) {
            rest -= double{weight(token)};
            if (rest < 0) {
                return token;
            }
        }
        return from.back();
    };
    const bool wide =
        options.top_k == 0 && options.min_p == 0 && options.top_p < 1 && order.size() > 1024;
    uint64_t choice = 0;
    for (; wide && choice < 8; ++choice) {
        const TokenId token = draw(all, choice, all_weight);
        if (std::ranges::find(order, token) != order.end()) {
            return token;
        }
    }
    return draw(order, choice, total);
}

SamplingOptions random_options(uint64_t seed, size_t vocabulary) {
    const auto uniform = [&](uint64_t index) { return counter_uniform(seed, 7, index); };
    const auto pick = [&](uint64_t index, std::initializer_list<float> values) {
        return values.begin()[static_cast<size_t>(uniform(index) * double(values.size()))];
    };
    SamplingOptions options{
        .temperature = pick(0, {0.0F, 0.3F, 1.0F, 2.0F}),
        .top_p = pick(1, {1.0F, 0.95F, 0.5F, 0.05F}),
        .top_k = static_cast<uint32_t>(pick(2, {0, 0, 1, 40, 700})),
        .min_p = pick(3, {0.0F, 0.0F, 0.05F, 0.9F}),
        .seed = seed,
        .repetition_penalty = pick(4, {1.0F, 1.3F, 0.8F}),
        .presence_penalty = pick(5, {0.0F, 0.5F, -2.0F}),
        .frequency_penalty = pick(6, {0.0F, 0.25F, -0.5F}),
    };
    for (uint64_t i = 0; i < 5 && uniform(8) < 0.5; ++i) {
        options.logit_bias.push_back({static_cast<TokenId>(uniform(10 + i) * double(vocabulary)),
                                      static_cast<float>(uniform(20 + i) * 20 - 10)});
    }
    return options;
}

}  // namespace

TEST_CASE("tokens are those of sorting the whole vocabulary, whatever the options") {
    Sampler sampler;  // One for all: what it met before must not matter.
    for (uint64_t seed = 0; seed < 400; ++seed) {
        const size_t vocabulary = seed % 3 == 0 ? 100 : seed % 3 == 1 ? 3000 : 20'000;
        std::vector<float> logits = random_logits(vocabulary, seed);
        if (seed % 5 == 0) {  // Ties.
            std::ranges::for_each(logits, [](float& logit) { logit = std::round(logit); });
        }
        const SamplingOptions options = random_options(seed, vocabulary);
        const std::vector<TokenId> prompt{1, 2, 3, 3, 99};
        const std::vector<TokenId> sampled{2, 5, 5, 5, 98};
        TokenCounts seen;
        seen.add_prompt(prompt);
        for (const TokenId token : sampled) {
            seen.add_sampled(token);
        }
        const std::vector<float> adjusted = adjust_simply(logits, options, {prompt, sampled});
        for (uint64_t position = 0; position < 5; ++position) {
            // A draw that falls between two tokens within rounding could go either way.
            CHECK(sampler.sample(logits, options, seen, position) ==
                  sample_simply(adjusted, options, position));
        }
    }
}

TEST_CASE("every kernel table draws the same tokens from ordinary logits") {
    const auto* scalar = rekindle::kernels::find_kernel_table("scalar");
    Sampler reference(*scalar);
    Sampler best;
    const std::vector<float> logits = random_logits(5000, 2);
    for (uint64_t position = 0; position < 200; ++position) {
        const SamplingOptions options{.temperature = 1, .top_p = 0.9F, .seed = 4};
        CHECK(reference.sample(logits, options, {}, position) ==
              best.sample(logits, options, {}, position));
    }
}

TEST_CASE("presence and frequency penalties count sampled tokens, not those of the prompt") {
    const std::vector<float> logits{5, 4.5F, 4};
    TokenCounts seen;
    seen.add_prompt(std::vector<TokenId>{0, 0});
    Sampler sampler;
    const auto greedy = [&](float presence, float frequency) {
        return sampler.sample(
            logits,
            {.temperature = 0, .presence_penalty = presence, .frequency_penalty = frequency}, seen,
            0);
    };
    CHECK(greedy(2, 2) == 0);
    seen.add_sampled(0);
    CHECK(greedy(0.75F, 0) == 1);
    CHECK(greedy(0, 0.25F) == 0);
    seen.add_sampled(0);
    seen.add_sampled(0);
    CHECK(greedy(0.25F, 0) == 0);
    CHECK(greedy(0, 0.25F) == 1);
    CHECK(greedy(-2, 0) == 0);
}

TEST_CASE("a repetition penalty divides positive logits and multiplies negative ones") {
    TokenCounts seen;
    seen.add_prompt(std::vector<TokenId>{0});
    Sampler sampler;
    const auto greedy = [&](std::vector<float> logits, float penalty) {
        return sampler.sample(logits, {.temperature = 0, .repetition_penalty = penalty}, seen, 0);
    };
    CHECK(greedy({4, 3}, 1.2F) == 0);
    CHECK(greedy({4, 3}, 1.5F) == 1);
    CHECK(greedy({-4, -5}, 1.2F) == 0);
    CHECK(greedy({-4, -5}, 1.5F) == 1);
    CHECK(greedy({3, 4}, 0.5F) == 0);
}

TEST_CASE("logit_bias is added before anything else, and not to what log-probabilities say") {
    const std::vector<float> logits{0, 3, 1};
    Sampler sampler;
    const SamplingOptions options{.temperature = 1, .top_k = 1, .logit_bias = {{0, 100}, {7, 100}}};
    CHECK(sampler.sample(logits, options, {}, 0) == 0);
    const SamplingOptions banned{.temperature = 0, .logit_bias = {{1, -100}}};
    CHECK(sampler.sample(logits, banned, {}, 0) == 2);
    std::vector<LogprobEntry> top;
    sampler.top_logprobs(logits, 0, 1, top);
    CHECK(top[0].token == 1);
}

TEST_CASE("tokens are counted once each, however many there are") {
    TokenCounts counts;
    std::vector<TokenId> prompt;
    for (TokenId token = 0; token < 5000; ++token) {
        prompt.push_back(token * 7 % 2000);
    }
    counts.add_prompt(prompt);
    CHECK(counts.entries().size() == 2000);
    counts.add_sampled(prompt[0]);
    counts.add_sampled(prompt[0]);
    counts.add_sampled(123'456);
    CHECK(counts.entries().size() == 2001);
    CHECK(counts.entries().front().sampled == 2);
    CHECK(counts.entries().back().token == 123'456);
    CHECK(counts.entries().back().sampled == 1);
}
