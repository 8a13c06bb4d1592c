// What sampling asks of a row of logits: every table against the definition.
#include "kernels/kernel_table.h"
#include "tests/kernels/support.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

using namespace rekindle::kernels;
using rekindle::kernels::test::Random;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
// Lengths around a block, a vector and none.
constexpr uint32_t kLengths[] = {1, 7, 8, 9, 31, 33, 255, 256, 257, 1000, 5003};

// Ordinary values with some that are not numbers.
std::vector<float> logits(uint32_t n) {
    Random random(n);
    std::vector<float> x = random.normals(n, 5);
    for (uint32_t i = 3; i < n; i += 11) {
        x[i] = i % 2 == 0 ? kNan : -kInfinity;
    }
    return x;
}

size_t blocks(uint32_t n) {
    return (n + kSelectBlock - 1) / kSelectBlock;
}

}  // namespace

TEST_CASE("the maximum of each block passes over what is not a number") {
    for (const KernelTable* table : test::usable_tables()) {
        for (const uint32_t n : kLengths) {
            const std::vector<float> x = logits(n);
            std::vector<float> out(blocks(n) + 1, 77.0F);
            table->block_maxima(x.data(), n, out.data());
            for (size_t block = 0; block < blocks(n); ++block) {
                float most = -kInfinity;
                for (size_t i = block * kSelectBlock;
                     i < std::min<size_t>(n, (block + 1) * kSelectBlock); ++i) {
                    most = x[i] > most ? x[i] : most;
                }
                CHECK(out[block] == most);
            }
            CHECK(out.back() == 77.0F);
        }
        const std::vector<float> none(300, kNan);
        float out[2] = {};
        table->block_maxima(none.data(), 300, out);
        CHECK(out[0] == -kInfinity);
        CHECK(out[1] == -kInfinity);
    }
}

TEST_CASE("sums of weights are those of exp, without what is negligible") {
    for (const KernelTable* table : test::usable_tables()) {
        for (const uint32_t n : kLengths) {
            for (const float scale : {0.01F, 1.0F, 20.0F, 1e30F}) {
                std::vector<float> x = logits(n);
                x[0] = 40;  // The maximum of all.
                std::vector<float> out(blocks(n));
                table->block_exp_sums(x.data(), n, 40, scale, out.data());
                double expected = 0;
                double sum = 0;
                for (const float value : x) {
                    const double distance = (double{value} - 40) * double{scale};
                    expected += distance > -double{kNegligibleWeight} ? std::exp(distance) : 0;
                }
                for (const float part : out) {
                    sum += double{part};
                }
                CHECK(std::abs(sum - expected) <= 1e-5 * expected);
            }
        }
    }
}

TEST_CASE("sums above a threshold leave out the threshold itself and NaN") {
    for (const KernelTable* table : test::usable_tables()) {
        for (const uint32_t n : kLengths) {
            std::vector<float> x = logits(n);
            x[0] = 8;  // The maximum of all.
            std::vector<float> maxima(blocks(n));
            table->block_maxima(x.data(), n, maxima.data());
            for (const float threshold : {-kInfinity, -3.0F, x[n / 2], 8.0F}) {
                double expected = 0;
                for (const float value : x) {
                    expected += value > threshold ? std::exp(double{value} - 8) : 0;
                }
                const double sum = table->exp_sum_above(
                    {.x = x.data(), .maxima = maxima.data(), .n = n, .best = 8, .scale = 1},
                    threshold);
                CHECK(std::abs(sum - expected) <= 1e-5 * expected);
            }
        }
    }
}

TEST_CASE("the places above a threshold come in order, the threshold's own among them") {
    for (const KernelTable* table : test::usable_tables()) {
        for (const uint32_t n : kLengths) {
            std::vector<float> x = logits(n);
            x[n - 1] = 2;
            for (const float threshold : {-kInfinity, -3.0F, 2.0F, 100.0F}) {
                std::vector<uint32_t> expected;
                for (uint32_t i = 0; i < n; ++i) {
                    if (x[i] >= threshold) {
                        expected.push_back(i);
                    }
                }
                std::vector<uint32_t> out(n);
                out.resize(table->collect_above(x.data(), n, threshold, out.data()));
                CHECK(out == expected);
            }
        }
    }
}
