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

// Every number of queries in a block of the tables (1 to 6), blocks of unequal size (7, 16), every
// rest of head_dim by 32 and by 64, and both limits.
constexpr Shape kShapes[] = {{1, 16}, {2, 112}, {3, 64},  {4, 128}, {5, 80},
                             {6, 64}, {7, 96},  {8, 128}, {16, 256}};
constexpr uint32_t kContexts[] = {1, 31, 32, 33, 64, 100, 1000};
constexpr uint64_t kKeyOffset = 32;  // Other data lie before the head's.

// Paged keys and values of one head behind other data, and a query row for each position.
class Cache {
public:
    Cache(Shape shape, uint32_t positions, uint64_t seed, float key_scale = 1)
        : shape_(shape), positions_(positions) {
        Random random(seed);
        const size_t halves = kKeyOffset + size_t{2} * kPageTokens * shape.head_dim + 16;
        for (uint32_t first = 0; first < positions; first += kPageTokens) {
            std::vector<uint16_t>& page = storage_.emplace_back(halves);
            for (uint16_t& half : page) {
                half = test::half_from_float(random.normal());
            }
        }
        for (uint32_t position = 0; position < positions; ++position) {
            for (uint32_t d = 0; d < shape.head_dim; ++d) {
                key(position, d) = test::half_from_float(random.normal() * key_scale);
            }
        }
        for (const std::vector<uint16_t>& page : storage_) {
            pages_.push_back(reinterpret_cast<const std::byte*>(page.data()));
        }
        query = random.normals(positions * width());
    }

    // Floats of a row.
    size_t width() const { return size_t{shape_.group} * shape_.head_dim; }

    AttentionArgs args(uint32_t first, uint32_t rows, std::vector<float>& out) const {
        out.assign(rows * width(), std::numeric_limits<float>::quiet_NaN());
        return AttentionArgs{.query = query.data() + first * width(),
                             .query_stride = width(),
                             .pages = pages_.data(),
                             .key_offset = kKeyOffset,
                             .value_offset = value_offset(),
                             .rows = rows,
                             .position = first,
                             .group = shape_.group,
                             .head_dim = shape_.head_dim,
                             .scale = 1 / std::sqrt(static_cast<float>(shape_.head_dim)),
                             .out = out.data(),
                             .out_stride = width()};
    }

    std::vector<float> run(const KernelTable& table, uint32_t first, uint32_t rows,
                           uint32_t window = 0) const {
        std::vector<float> out;
        AttentionArgs call = args(first, rows, out);
        call.window = window;
        table.attention(call);
        return out;
    }

    // The last position's row.
    std::vector<float> run_last(const KernelTable& table) const {
        return run(table, positions_ - 1, 1);
    }

    uint16_t& key(uint32_t position, uint32_t d) {
        return storage_[position / kPageTokens]
                       [kKeyOffset / 2 + size_t{d} * kPageTokens + position % kPageTokens];
    }

    uint16_t& value(uint32_t position, uint32_t d) {
        return storage_[position / kPageTokens]
                       [value_offset() / 2 + position % kPageTokens * shape_.head_dim + d];
    }

    const Shape& shape() const { return shape_; }

    std::vector<float> query;

private:
    uint64_t value_offset() const {
        return kKeyOffset + uint64_t{kPageTokens} * shape_.head_dim * 2 + 32;
    }

    Shape shape_;
    uint32_t positions_;
    std::vector<std::vector<uint16_t>> storage_;
    std::vector<const std::byte*> pages_;
};

// Softmax attention of one row in double precision, without paging.
std::vector<double> reference(Cache& cache, uint32_t position, uint32_t window = 0) {
    const Shape& shape = cache.shape();
    const uint32_t oldest = window != 0 && position >= window ? position + 1 - window : 0;
    std::vector<double> out(cache.width());
    for (uint32_t head = 0; head < shape.group; ++head) {
        const float* query = cache.query.data() + position * cache.width() + head * shape.head_dim;
        std::vector<double> weights(position + 1, 0);
        double max = -std::numeric_limits<double>::infinity();
        for (uint32_t j = oldest; j <= position; ++j) {
            for (uint32_t d = 0; d < shape.head_dim; ++d) {
                weights[j] += double{query[d]} * test::half_to_double(cache.key(j, d));
            }
            weights[j] /= std::sqrt(static_cast<double>(shape.head_dim));
            max = std::max(max, weights[j]);
        }
        double sum = 0;
        for (uint32_t j = oldest; j <= position; ++j) {
            weights[j] = std::exp(weights[j] - max);
            sum += weights[j];
        }
        for (uint32_t d = 0; d < shape.head_dim; ++d) {
            double& value = out[head * shape.head_dim + d];
            for (uint32_t j = oldest; j <= position; ++j) {
                value += weights[j] / sum * test::half_to_double(cache.value(j, d));
            }
        }
    }
    return out;
}

double worst_error(const std::vector<float>& out, const std::vector<double>& expected) {
    double worst = 0;
    for (size_t i = 0; i < out.size(); ++i) {
        const double error = std::abs(out[i] - expected[i]);
        worst = error <= worst ? worst : error;  // A NaN is kept.
    }
    return worst;
}

// A score's absolute error is at most head_dim roundings of |q||k| / sqrt(d), which here stays
// below 30: 256 * 30 * 2^-24 = 5e-4 in the worst case and far less in the mean; it moves weights by
// that factor. Sums over the context lose as little again. Values are near 1: 1e-4 is what 1,000
// random cases stay well below, and a wrong position or head would be off by 0.1 and more.
constexpr double kTolerance = 1e-4;

}  // namespace

TEST_CASE("attention equals softmax in double precision for contexts within and across pages") {
    for (const KernelTable* table : test::usable_tables()) {
        for (const Shape& shape : kShapes) {
            for (const uint32_t context : kContexts) {
                CAPTURE(table->name);
                CAPTURE(shape.group);
                CAPTURE(shape.head_dim);
                CAPTURE(context);
                Cache cache(shape, context, context);
                const std::vector<double> expected = reference(cache, context - 1);
                CHECK(worst_error(cache.run_last(*table), expected) <= kTolerance);
            }
        }
    }
}

// Two positions whose scores differ by a known amount: the output is the second one's weight. exp
// has an error below 2 * 2^-23 and the score roundings of its own size; quotient and sum add two.
TEST_CASE("weights follow exp within a few roundings, down to where floats end") {
    const Shape shape{1, 16};
    for (const KernelTable* table : test::usable_tables()) {
        for (float below = 0; below < 100; below += 0.37F) {
            CAPTURE(table->name);
            CAPTURE(below);
            Cache cache(shape, 2, 1);
            for (uint32_t d = 0; d < shape.head_dim; ++d) {
                cache.query[cache.width() + d] = d == 0 ? below : 0;
                cache.key(0, d) = 0;
                cache.key(1, d) = d == 0 ? test::half_from_float(-4) : uint16_t{0};
                cache.value(0, d) = 0;
                cache.value(1, d) = test::half_from_float(1);
            }
            const double score = -double{below};  // query * key / sqrt(16)
            const double expected = 1 / (1 + std::exp(-score));
            const double allowed = (8 + std::abs(score) * 4) * test::kFloatEpsilon;
            const float weight = cache.run_last(*table)[0];
            CHECK(std::abs(weight - expected) <= allowed * expected + 0x1p-126);
        }
    }
}

TEST_CASE("a sliding window sees the last positions and nothing before them") {
    const Shape shape{3, 64};
    constexpr uint32_t kPositions = 130;
    for (const KernelTable* table : test::usable_tables()) {
        Cache cache(shape, kPositions, 3);
        for (const uint32_t window : {1U, 31U, 32U, 33U, 64U, 100U, 129U, 130U, 200U}) {
            const std::vector<float> all = cache.run(*table, 0, kPositions, window);
            for (uint32_t position = 0; position < kPositions; ++position) {
                CAPTURE(table->name);
                CAPTURE(window);
                CAPTURE(position);
                const float* first = all.data() + position * cache.width();
                const std::vector<float> row(first, first + cache.width());
                const std::vector<double> expected = reference(cache, position, window);
                CHECK(worst_error(row, expected) <= kTolerance);
                CHECK(test::same_bits(row, cache.run(*table, position, 1, window)));
            }
        }
    }
}

TEST_CASE("a row has the same bits alone and in every tile, wherever a prompt is cut") {
    constexpr uint32_t kPositions = 150;
    for (const KernelTable* table : test::usable_tables()) {
        for (const Shape& shape : {Shape{3, 64}, Shape{1, 128}, Shape{7, 96}, Shape{16, 256}}) {
            Cache cache(shape, kPositions, 4);
            std::vector<float> alone;
            for (uint32_t position = 0; position < kPositions; ++position) {
                const std::vector<float> row = cache.run(*table, position, 1);
                alone.insert(alone.end(), row.begin(), row.end());
            }
            for (const uint32_t rows : {2U, 3U, 5U, 7U, 16U, 31U, 32U, 33U, 64U, 150U}) {
                CAPTURE(table->name);
                CAPTURE(shape.group);
                CAPTURE(rows);
                std::vector<float> chunks;
                for (uint32_t first = 0; first < kPositions; first += rows) {
                    const std::vector<float> part =
                        cache.run(*table, first, std::min(rows, kPositions - first));
                    chunks.insert(chunks.end(), part.begin(), part.end());
                }
                CHECK(test::same_bits(chunks, alone));
            }
        }
    }
}

TEST_CASE("long contexts have the same bits alone and in a tile") {
    const Shape shape{3, 64};
    for (const KernelTable* table : test::usable_tables()) {
        CAPTURE(table->name);
        Cache cache(shape, 1040, 6);
        const std::vector<float> tile = cache.run(*table, 990, 50);
        for (uint32_t row = 0; row < 50; ++row) {
            const std::vector<float> alone = cache.run(*table, 990 + row, 1);
            CHECK(std::equal(alone.begin(), alone.end(), tile.data() + row * cache.width()));
        }
    }
}

TEST_CASE("scores in the thousands neither overflow nor lose the winner") {
    for (const KernelTable* table : test::usable_tables()) {
        CAPTURE(table->name);
        Cache cache(Shape{3, 64}, 100, 5, /*key_scale=*/1000);
        // Scores near 3,000 are exact to 64 * 3,000 * 2^-24 = 0.011 at worst.
        CHECK(worst_error(cache.run_last(*table), reference(cache, 99)) <= 0.05);
    }
}

TEST_CASE("what a row does not see does not matter, even if it is NaN") {
    const Shape shape{3, 64};
    for (const KernelTable* table : test::usable_tables()) {
        for (const uint32_t context : {1U, 9U, 33U, 60U}) {
            CAPTURE(table->name);
            CAPTURE(context);
            Cache cache(shape, 64, 7);
            const std::vector<float> clean = cache.run(*table, 0, context);
            for (uint32_t position = context; position < 64; ++position) {
                for (uint32_t d = 0; d < shape.head_dim; ++d) {
                    cache.key(position, d) = 0x7e00;
                    cache.value(position, d) = 0x7e00;
                }
            }
            CHECK(test::same_bits(cache.run(*table, 0, context), clean));
            std::vector<float> longer = cache.run(*table, 0, 64);  // Later rows see the NaN.
            CHECK(std::isnan(longer.back()));
            longer.resize(clean.size());
            CHECK(test::same_bits(longer, clean));
        }
    }
}

TEST_CASE("what lies before the window does not matter, even if it is NaN") {
    const Shape shape{2, 32};
    for (const KernelTable* table : test::usable_tables()) {
        CAPTURE(table->name);
        Cache cache(shape, 80, 8);
        const std::vector<float> clean = cache.run(*table, 40, 40, /*window=*/20);
        for (uint32_t position = 0; position <= 20; ++position) {
            cache.key(position, 3) = 0x7e00;
            cache.value(position, 3) = 0x7e00;
        }
        CHECK(test::same_bits(cache.run(*table, 40, 40, /*window=*/20), clean));
    }
}

TEST_CASE("a head's bits do not depend on the heads it is computed with") {
    for (const KernelTable* table : test::usable_tables()) {
        Cache all(Shape{7, 64}, 77, 9);
        const std::vector<float> together = all.run_last(*table);
        for (uint32_t head = 0; head < 7; ++head) {
            std::vector<float> alone;
            AttentionArgs args = all.args(76, 1, alone);
            args.query += size_t{head} * 64;
            args.group = 1;
            table->attention(args);
            CHECK(std::equal(alone.begin(), alone.begin() + 64, together.begin() + head * 64));
        }
    }
}

TEST_CASE("rows may lie apart: nothing between them is written") {
    for (const KernelTable* table : test::usable_tables()) {
        Cache cache(Shape{3, 32}, 40, 10);
        const std::vector<float> dense = cache.run(*table, 10, 20);
        std::vector<float> out;
        AttentionArgs args = cache.args(10, 40, out);
        std::fill(out.begin(), out.end(), -77.0F);
        args.rows = 20;
        args.out_stride = 2 * cache.width();
        table->attention(args);
        for (size_t row = 0; row < 20; ++row) {
            const auto* first = out.data() + row * args.out_stride;
            CHECK(std::equal(first, first + cache.width(), dense.data() + row * cache.width()));
            CHECK(std::all_of(first + cache.width(), first + args.out_stride,
                              [](float value) { return value == -77; }));
        }
    }
}

TEST_CASE("infinite and NaN keys and values give a result, however useless, without a fault") {
    for (const KernelTable* table : test::usable_tables()) {
        for (const uint16_t bad : {uint16_t{0x7c00}, uint16_t{0xfc00}, uint16_t{0x7e00}}) {
            Cache cache(Shape{2, 32}, 40, 11);
            cache.key(3, 0) = bad;
            cache.value(35, 1) = bad;
            CHECK_FALSE(std::isfinite(cache.run_last(*table)[1]));
        }
    }
}

namespace {

// Pages of bytes 0xcd into which rows were stored.
struct StoredPage {
    StoredPage(const KernelTable& table, const std::vector<float>& values, KvStoreArgs args)
        : keys(size_t{kPageTokens} * args.head_dim, 0xcdcd), page_values(keys) {
        args.keys = values.data();
        args.values = values.data() + args.head_dim;
        args.page_keys = reinterpret_cast<std::byte*>(keys.data());
        args.page_values = reinterpret_cast<std::byte*>(page_values.data());
        table.store_kv(args);
    }

    std::vector<uint16_t> keys;
    std::vector<uint16_t> page_values;
};

}  // namespace

TEST_CASE("store_kv puts each row into its slot and leaves the other slots alone") {
    for (const KernelTable* table : test::usable_tables()) {
        for (const uint32_t head_dim : {16U, 64U, 80U, 256U}) {
            for (const auto& [slot, rows] :
                 {std::pair{0U, 32U}, {31U, 1U}, {3U, 7U}, {5U, 8U}, {1U, 20U}}) {
                CAPTURE(table->name);
                CAPTURE(head_dim);
                CAPTURE(slot);
                const size_t stride = 2 * size_t{head_dim} + 3;
                const std::vector<float> values = Random(slot).normals(rows * stride);
                const StoredPage page(
                    *table, values,
                    {.stride = stride, .rows = rows, .slot = slot, .head_dim = head_dim});
                uint32_t wrong = 0;
                for (uint32_t p = 0; p < kPageTokens; ++p) {
                    const bool stored = p >= slot && p < slot + rows;
                    for (uint32_t d = 0; d < head_dim; ++d) {
                        const size_t from = stored ? (p - slot) * stride + d : 0;
                        const auto key = test::half_from_float(values[from]);
                        const auto value = test::half_from_float(values[from + head_dim]);
                        wrong += page.keys[size_t{d} * kPageTokens + p] != (stored ? key : 0xcdcd);
                        wrong +=
                            page.page_values[size_t{p} * head_dim + d] != (stored ? value : 0xcdcd);
                    }
                }
                CHECK(wrong == 0);
            }
        }
    }
}
