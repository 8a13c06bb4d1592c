#include "kernels/kernel_table.h"
#include "tests/kernels/support.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>

using namespace rekindle::kernels;
using rekindle::kernels::test::Random;

namespace {

struct Shape {
    uint32_t group;
    uint32_t head_dim;
};

// Every rest of the tiles over heads (3) and over chunks of 16 values (4), and both limits.
constexpr Shape kShapes[] = {{1, 16}, {3, 64}, {4, 128}, {5, 80}, {16, 256}, {2, 112}};
constexpr uint32_t kContexts[] = {1, 7, 8, 31, 32, 33, 100, 1000};

// Paged keys and values of one head behind other data, and queries for it.
class Cache {
public:
    Cache(Shape shape, uint32_t context, uint64_t seed, float key_scale = 1)
        : shape_(shape), context_(context), page_halves_(2 * kPageTokens * shape.head_dim + 32) {
        Random random(seed);
        const uint32_t pages = (context + kPageTokens - 1) / kPageTokens;
        for (uint32_t page = 0; page < pages; ++page) {
            std::vector<uint16_t>& halves = storage_.emplace_back(page_halves_);
            for (uint32_t i = 0; i < halves.size(); ++i) {
                const float scale = i < 16 + kPageTokens * shape.head_dim ? key_scale : 1;
                halves[i] = test::half_from_float(random.normal() * scale);
            }
        }
        for (const std::vector<uint16_t>& halves : storage_) {
            pages_.push_back(reinterpret_cast<const std::byte*>(halves.data()));
        }
        query = random.normals(size_t{shape.group} * shape.head_dim);
    }

    AttentionArgs args(std::vector<float>& out) const {
        return AttentionArgs{.query = query.data(),
                             .pages = pages_.data(),
                             .key_offset = 32,
                             .value_offset = 64 + uint64_t{kPageTokens} * shape_.head_dim * 2,
                             .group = shape_.group,
                             .head_dim = shape_.head_dim,
                             .context = context_,
                             .scale = 1 / std::sqrt(static_cast<float>(shape_.head_dim)),
                             .out = out.data()};
    }

    std::vector<float> run(const KernelTable& table) const {
        std::vector<float> out(query.size(), std::numeric_limits<float>::quiet_NaN());
        table.attention(args(out));
        return out;
    }

    uint16_t& key(uint32_t position, uint32_t d) { return half(position, d, 16); }

    uint16_t& value(uint32_t position, uint32_t d) {
        return half(position, d, 32 + kPageTokens * shape_.head_dim);
    }

    std::vector<float> query;

private:
    uint16_t& half(uint32_t position, uint32_t d, uint32_t first) {
        std::vector<uint16_t>& halves = storage_[position / kPageTokens];
        return halves[first + position % kPageTokens * shape_.head_dim + d];
    }

    Shape shape_;
    uint32_t context_;
    uint32_t page_halves_;
    std::vector<std::vector<uint16_t>> storage_;
    std::vector<const std::byte*> pages_;
};

// Softmax attention in double precision, without paging.
std::vector<double> reference(Cache& cache, Shape shape, uint32_t context) {
    std::vector<double> out(cache.query.size());
    for (uint32_t head = 0; head < shape.group; ++head) {
        std::vector<double> weights(context);
        for (uint32_t j = 0; j < context; ++j) {
            for (uint32_t d = 0; d < shape.head_dim; ++d) {
                weights[j] += double{cache.query[head * shape.head_dim + d]} *
                              test::half_to_double(cache.key(j, d));
            }
            weights[j] /= std::sqrt(static_cast<double>(shape.head_dim));
        }
        const double max = *std::max_element(weights.begin(), weights.end());
        double sum = 0;
        for (double& weight : weights) {
            weight = std::exp(weight - max);
            sum += weight;
        }
        for (uint32_t d = 0; d < shape.head_dim; ++d) {
            double& value = out[head * shape.head_dim + d];
            for (uint32_t j = 0; j < context; ++j) {
                value += weights[j] / sum * test::half_to_double(cache.value(j, d));
            }
        }
    }
    return out;
}

}  // namespace

// A score's absolute error is at most head_dim roundings of |q||k| / sqrt(d), which here stays
// below 30: 256 * 30 * 2^-24 = 5e-4 in the worst case and far less in the mean; it moves weights by
// that factor. Sums over the context lose as little again. Values are near 1: 1e-4 is what 1,000
// random cases stay well below, and a wrong position or head would be off by 0.1 and more.
TEST_CASE("attention equals softmax in double precision for contexts within and across pages") {
    constexpr double kTolerance = 1e-4;
    for (const KernelTable* table : test::usable_tables()) {
        for (const Shape& shape : kShapes) {
            for (const uint32_t context : kContexts) {
                CAPTURE(table->name);
                CAPTURE(shape.group);
                CAPTURE(shape.head_dim);
                CAPTURE(context);
                Cache cache(shape, context, context);
                const std::vector<float> out = cache.run(*table);
                const std::vector<double> expected = reference(cache, shape, context);
                double worst = 0;
                for (size_t i = 0; i < out.size(); ++i) {
                    const double error = std::abs(out[i] - expected[i]);
                    worst = error <= worst ? worst : error;  // A NaN is kept.
                }
                CHECK(worst <= kTolerance);
            }
        }
    }
}

TEST_CASE("scores in the thousands neither overflow nor lose the winner") {
    const Shape shape{3, 64};
    for (const KernelTable* table : test::usable_tables()) {
        CAPTURE(table->name);
        Cache cache(shape, 100, 5, /*key_scale=*/1000);
        const std::vector<float> out = cache.run(*table);
        const std::vector<double> expected = reference(cache, shape, 100);
        for (size_t i = 0; i < out.size(); ++i) {
            // Scores near 3,000 are exact to 64 * 3,000 * 2^-24 = 0.011 at worst.
            CHECK(std::abs(out[i] - expected[i]) <= 0.05);
        }
    }
}

TEST_CASE("what lies behind the context in its last page does not matter, even if it is NaN") {
    const Shape shape{3, 64};
    for (const KernelTable* table : test::usable_tables()) {
        for (const uint32_t context : {1U, 9U, 33U, 60U}) {
            CAPTURE(table->name);
            CAPTURE(context);
            Cache cache(shape, context, 7);
            const std::vector<float> clean = cache.run(*table);
            for (uint32_t position = context; position % kPageTokens != 0; ++position) {
                for (uint32_t d = 0; d < shape.head_dim; ++d) {
                    cache.key(position, d) = 0x7e00;
                    cache.value(position, d) = 0x7e00;
                }
            }
            CHECK(test::same_bits(cache.run(*table), clean));
        }
    }
}

TEST_CASE("a head's bits do not depend on the heads it is computed with") {
    for (const KernelTable* table : test::usable_tables()) {
        Cache all(Shape{7, 64}, 77, 9);
        const std::vector<float> together = all.run(*table);
        for (uint32_t head = 0; head < 7; ++head) {
            std::vector<float> alone(64);
            AttentionArgs args = all.args(alone);
            args.query += size_t{head} * 64;
            args.group = 1;
            table->attention(args);
            CHECK(std::equal(alone.begin(), alone.end(), together.begin() + head * 64));
        }
    }
}

TEST_CASE("infinite and NaN keys and values give a result, however useless, without a fault") {
    const Shape shape{2, 32};
    for (const KernelTable* table : test::usable_tables()) {
        for (const uint16_t bad : {uint16_t{0x7c00}, uint16_t{0xfc00}, uint16_t{0x7e00}}) {
            Cache cache(shape, 40, 11);
            cache.key(3, 0) = bad;
            cache.value(35, 1) = bad;
            const std::vector<float> out = cache.run(*table);
            CHECK(out.size() == 64);
            CHECK_FALSE(std::isfinite(out[1]));
        }
    }
}
