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
using rekindle::runtime::sample;
using rekindle::runtime::SamplingOptions;
using rekindle::runtime::TokenId;
using rekindle::runtime::top_logprobs;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

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

TEST_CASE("min_p leaves tokens whose probability is that part of the best one's") {
    const float ln2 = std::log(2.0F);
    const std::vector<float> logits{0, -ln2, -2 * ln2, -3 * ln2};
    CHECK(histogram(logits, {.temperature = 1, .min_p = 0.4F}, 1000).size() == 2);
    CHECK(histogram(logits, {.temperature = 1, .min_p = 0.2F}, 1000).size() == 3);
}

TEST_CASE("logits that are not numbers never crash and are never sampled") {
    for (const SamplingOptions options :
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
