#include "kernels/kernel_table.h"
#include "tests/kernels/support.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cfenv>
#include <limits>

using namespace rekindle::kernels;
using rekindle::kernels::test::kFloatEpsilon;
using rekindle::kernels::test::Random;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Quantised {
    explicit Quantised(uint32_t k)
        : quants(k), scales(k / kBlockColumns), half_sums(k / kBlockColumns * 2) {}

    std::vector<int8_t> quants;
    std::vector<float> scales;
    std::vector<int16_t> half_sums;
};

Quantised quantize(const KernelTable& table, const std::vector<float>& values) {
    Quantised out(static_cast<uint32_t>(values.size()));
    table.quantize(values.data(), static_cast<uint32_t>(values.size()), out.quants.data(),
                   out.scales.data(), out.half_sums.data());
    return out;
}

struct Quantised16 {
    std::vector<int16_t> quants;
    std::vector<float> scales;
    std::vector<int32_t> half_sums;
};

Quantised16 quantize16(const KernelTable& table, const std::vector<float>& values) {
    const size_t blocks = values.size() / kBlockColumns;
    Quantised16 out{.quants = std::vector<int16_t>(values.size()),
                    .scales = std::vector<float>(blocks),
                    .half_sums = std::vector<int32_t>(blocks * 2)};
    table.quantize16(values.data(), static_cast<uint32_t>(values.size()), out.quants.data(),
                     out.scales.data(), out.half_sums.data());
    return out;
}

// 32 blocks: ordinary, huge, tiny, below the floor, denormal, zero, and of mixed magnitudes.
std::vector<float> adversarial_values() {
    Random random(3);
    std::vector<float> values = random.normals(32 * kBlockColumns);
    constexpr float kFactors[] = {1, 1e30F, 1e-25F, 0x1p-101F,   0x1p-140F,
                                  0, 1e-3F, 127,    0x1p127F / 8};
    for (uint32_t i = 0; i < values.size(); ++i) {
        const uint32_t block = i / kBlockColumns;
        values[i] *= kFactors[block % std::size(kFactors)];
        if (block % 5 == 4) {
            values[i] *= std::ldexp(1.0F, -static_cast<int>(i % 24));
        }
    }
    // Products that end in .5: 127 / 127 is exactly 1, so ties must go to the even quant.
    for (uint32_t i = 0; i < kBlockColumns; ++i) {
        values[i] = i == 0 ? 127.0F : static_cast<float>(i) - 15.5F;
    }
    return values;
}

}  // namespace

TEST_CASE("a block is quantised to the nearest of 255 steps of its largest magnitude") {
    const std::vector<float> values = adversarial_values();
    for (const KernelTable* table : test::usable_tables()) {
        CAPTURE(table->name);
        const Quantised out = quantize(*table, values);
        for (uint32_t block = 0; block < out.scales.size(); ++block) {
            const float* first = values.data() + size_t{block} * kBlockColumns;
            float max = 0;
            int32_t sums[2] = {};
            for (uint32_t i = 0; i < kBlockColumns; ++i) {
                max = std::max(max, std::abs(first[i]));
            }
            const bool zero = max < kQuantizeFloor;
            CHECK(out.scales[block] == (zero ? 0.0F : max / 127.0F));
            for (uint32_t i = 0; i < kBlockColumns; ++i) {
                const int quant = out.quants[block * kBlockColumns + i];
                sums[i / (kBlockColumns / 2)] += quant;
                // Half a step, and the roundings of the inverse scale and of the product.
                const double exact = zero ? 0 : double{first[i]} / (double{max} / 127);
                CHECK(std::abs(quant - exact) <= 0.5 + 127 * 3 * kFloatEpsilon);
            }
            CHECK(out.half_sums[2 * block] == sums[0]);
            CHECK(out.half_sums[2 * block + 1] == sums[1]);
        }
    }
}

TEST_CASE("ties go to the even quant") {
    std::vector<float> values(kBlockColumns, 0);
    values[0] = 127;
    values[1] = 0.5F;
    values[2] = 1.5F;
    values[3] = -2.5F;
    for (const KernelTable* table : test::usable_tables()) {
        const Quantised out = quantize(*table, values);
        CHECK(out.quants[0] == 127);
        CHECK(out.quants[1] == 0);
        CHECK(out.quants[2] == 2);
        CHECK(out.quants[3] == -2);
    }
}

TEST_CASE("quantisation has the same bits in every table") {
    const KernelTable& scalar = *find_kernel_table("scalar");
    std::vector<float> values = adversarial_values();
    values[100] = kInfinity;
    values[200] = -kInfinity;
    values[300] = kNan;
    const Quantised expected = quantize(scalar, values);
    for (const KernelTable* table : test::usable_tables()) {
        CAPTURE(table->name);
        const Quantised out = quantize(*table, values);
        CHECK(out.quants == expected.quants);
        CHECK(out.half_sums == expected.half_sums);
        CHECK(test::same_bits(out.scales, expected.scales));
    }
}

TEST_CASE("16 bits hold the nearest of 32,767 steps, in the order of int16 weights") {
    std::vector<float> values = adversarial_values();
    values[0] = kQuant16Max;  // Products that end in .5 again.
    constexpr uint32_t kPlaces[] = {0, 2, 1, 3};
    for (const KernelTable* table : test::usable_tables()) {
        CAPTURE(table->name);
        const Quantised16 out = quantize16(*table, values);
        const auto blocks = static_cast<uint32_t>(out.scales.size());
        for (uint32_t block = 0; block < blocks; ++block) {
            const float* first = values.data() + size_t{block} * kBlockColumns;
            float max = 0;
            int32_t sums[2] = {};
            for (uint32_t i = 0; i < kBlockColumns; ++i) {
                max = std::max(max, std::abs(first[i]));
            }
            const bool zero = max < kQuantizeFloor;
            CHECK(out.scales[block] == (zero ? 0.0F : max / kQuant16Max));
            for (uint32_t i = 0; i < kBlockColumns; ++i) {
                const int quant = out.quants[block * kBlockColumns + i / 4 * 4 + kPlaces[i % 4]];
                sums[i / (kBlockColumns / 2)] += quant;
                const double exact = zero ? 0 : double{first[i]} / (double{max} / kQuant16Max);
                CHECK(std::abs(quant - exact) <= 0.5 + kQuant16Max * 3 * kFloatEpsilon);
                CHECK(std::abs(quant) <= kQuant16Max);
            }
            CHECK(out.half_sums[block] == sums[0]);
            CHECK(out.half_sums[blocks + block] == sums[1]);
        }
    }
}

TEST_CASE("rounding to 16 bits has the same bits in every table") {
    const KernelTable& scalar = *find_kernel_table("scalar");
    std::vector<float> values = adversarial_values();
    values[100] = kInfinity;
    values[200] = -kInfinity;
    values[300] = kNan;
    const Quantised16 expected = quantize16(scalar, values);
    CHECK(std::isnan(expected.scales[100 / kBlockColumns]));
    for (const KernelTable* table : test::usable_tables()) {
        CAPTURE(table->name);
        const Quantised16 out = quantize16(*table, values);
        CHECK(out.quants == expected.quants);
        CHECK(out.half_sums == expected.half_sums);
        CHECK(test::same_bits(out.scales, expected.scales));
    }
}

TEST_CASE("a block with a non-finite value gets the scale NaN and zero quants") {
    for (const KernelTable* table : test::usable_tables()) {
        for (const float bad : {kInfinity, -kInfinity, kNan}) {
            std::vector<float> values(2 * kBlockColumns, 1.0F);
            values[5] = bad;
            const Quantised out = quantize(*table, values);
            CHECK(std::isnan(out.scales[0]));
            CHECK(out.half_sums[0] == 0);
            CHECK(std::all_of(out.quants.begin(), out.quants.begin() + kBlockColumns,
                              [](int8_t quant) { return quant == 0; }));
            CHECK(out.half_sums[2] == 127 * 16);
        }
    }
}

TEST_CASE("rms_norm divides by the root mean square of any length") {
    for (const KernelTable* table : test::usable_tables()) {
        for (const uint32_t n : {1U, 15U, 16U, 17U, 64U, 576U, 1000U, 4096U}) {
            CAPTURE(table->name);
            CAPTURE(n);
            Random random(n);
            std::vector<float> x = random.normals(n, 3);
            const std::vector<float> weight = random.normals(n);
            std::vector<float> out(n + 1, -77);
            table->rms_norm({.x = x.data(),
                             .weight = weight.data(),
                             .n = n,
                             .epsilon = 1e-5F,
                             .out = out.data()});
            double sum = 0;
            for (const float value : x) {
                sum += double{value} * value;
            }
            const double factor = 1 / std::sqrt(sum / n + double{1e-5F});
            for (uint32_t i = 0; i < n; ++i) {
                const double expected = x[i] * factor * weight[i];
                // The sum of squares has no cancellation: n / 64 additions a lane, 6 more across
                // lanes, each 2^-24, halved by the root; then root, division and two products.
                const double roundings = n / 64.0 / 2 + 12;
                CHECK(std::abs(out[i] - expected) <=
                      roundings * kFloatEpsilon * std::abs(expected));
            }
            CHECK(out[n] == -77);
        }
    }
}

TEST_CASE("rms_norm adds a delta first, as add does, and changes nothing behind the end") {
    for (const KernelTable* table : test::usable_tables()) {
        for (const uint32_t n : {1U, 15U, 64U, 100U, 576U}) {
            CAPTURE(table->name);
            CAPTURE(n);
            Random random(n);
            std::vector<float> x = random.normals(n + 1);
            const std::vector<float> delta = random.normals(n);
            const std::vector<float> weight = random.normals(n);
            std::vector<float> sum = x;
            table->add(sum.data(), delta.data(), n);
            std::vector<float> expected(n);
            NormArgs args{.x = sum.data(),
                          .weight = weight.data(),
                          .n = n,
                          .epsilon = 1e-5F,
                          .out = expected.data()};
            table->rms_norm(args);
            std::vector<float> out(n);
            args.x = x.data();
            args.delta = delta.data();
            args.out = out.data();
            table->rms_norm(args);
            CHECK(test::same_bits(out, expected));
            CHECK(test::same_bits(x, sum));
        }
    }
}

TEST_CASE("rope_pairs rotates adjacent pairs") {
    for (const KernelTable* table : test::usable_tables()) {
        for (const uint32_t head_dim : {2U, 16U, 48U, 64U, 100U, 256U}) {
            CAPTURE(table->name);
            CAPTURE(head_dim);
            Random random(head_dim);
            const std::vector<float> before = random.normals(head_dim);
            std::vector<float> head = before;
            head.push_back(-77);
            std::vector<float> cos(head_dim / 2);
            std::vector<float> sin(head_dim / 2);
            for (uint32_t i = 0; i < head_dim / 2; ++i) {
                const float angle = random.uniform(-100, 100);
                cos[i] = std::cos(angle);
                sin[i] = std::sin(angle);
            }
            table->rope_pairs({.heads = head.data(),
                               .count = 1,
                               .head_dim = head_dim,
                               .rotated = head_dim,
                               .cos = cos.data(),
                               .sin = sin.data()});
            for (uint32_t i = 0; i < head_dim / 2; ++i) {
                const double a = before[2 * i];
                const double b = before[2 * i + 1];
                // Two products and a sum, each rounded once, of parts below |a| + |b|.
                const double allowed = 2 * kFloatEpsilon * (std::abs(a) + std::abs(b));
                CHECK(std::abs(head[2 * i] - (a * cos[i] - b * sin[i])) <= allowed);
                CHECK(std::abs(head[2 * i + 1] - (a * sin[i] + b * cos[i])) <= allowed);
            }
            CHECK(head[head_dim] == -77);
        }
    }
}

TEST_CASE("rope_pairs turns every head by the same angles and leaves the rest of a head alone") {
    constexpr uint32_t kHeads = 3;
    constexpr uint32_t kHeadDim = 48;
    for (const KernelTable* table : test::usable_tables()) {
        for (const uint32_t rotated : {2U, 20U, 32U, 48U}) {
            CAPTURE(table->name);
            CAPTURE(rotated);
            Random random(rotated);
            const std::vector<float> before = random.normals(kHeads * kHeadDim);
            const std::vector<float> cos = random.normals(rotated / 2);
            const std::vector<float> sin = random.normals(rotated / 2);
            std::vector<float> together = before;
            RopeArgs args{.heads = together.data(),
                          .count = kHeads,
                          .head_dim = kHeadDim,
                          .rotated = rotated,
                          .cos = cos.data(),
                          .sin = sin.data()};
            table->rope_pairs(args);
            std::vector<float> apart = before;
            args.count = 1;
            for (uint32_t head = 0; head < kHeads; ++head) {
                args.heads = apart.data() + head * kHeadDim;
                table->rope_pairs(args);
            }
            CHECK(test::same_bits(together, apart));
            for (uint32_t i = 0; i < together.size(); ++i) {
                CHECK((together[i] == before[i]) == (i % kHeadDim >= rotated));
            }
        }
    }
}

TEST_CASE("silu_mul is accurate over the whole range of floats") {
    std::vector<float> gate;
    for (float value = 0x1p-140F; value < 0x1p126F; value *= 1.37F) {
        gate.push_back(value);
        gate.push_back(-value);
    }
    for (float value = -110; value < 110; value += 0.037F) {
        gate.push_back(value);
    }
    gate.insert(gate.end(), {0.0F, -0.0F, 88.72F, 88.73F, -87.33F, -103.9F, -104.1F});
    const std::vector<float> up = Random(5).normals(gate.size());
    for (const KernelTable* table : test::usable_tables()) {
        CAPTURE(table->name);
        std::vector<float> out(gate.size());
        table->silu_mul(gate.data(), up.data(), static_cast<uint32_t>(gate.size()), out.data());
        for (size_t i = 0; i < gate.size(); ++i) {
            CAPTURE(gate[i]);
            const double expected = gate[i] / (1 + std::exp(-double{gate[i]})) * up[i];
            // exp is within 2 units in the last place (4 * 2^-24), then a sum, a quotient and a
            // product. Where exp(-gate) leaves float's range the result is lost: below 1e-36.
            CHECK(std::abs(out[i] - expected) <= 8 * kFloatEpsilon * std::abs(expected) + 1e-36);
        }
    }
}

TEST_CASE("silu_mul hands NaN on and keeps infinities where the limit is one") {
    const std::vector<float> gate = {kNan, kInfinity, 1.0F};
    const std::vector<float> up = {1.0F, 2.0F, kNan};
    for (const KernelTable* table : test::usable_tables()) {
        std::vector<float> out(3);
        table->silu_mul(gate.data(), up.data(), 3, out.data());
        CHECK(std::isnan(out[0]));
        CHECK(out[1] == kInfinity);
        CHECK(std::isnan(out[2]));
    }
}

TEST_CASE("an element's bits depend neither on its place nor on the length of the vector") {
    constexpr uint32_t kCount = 67;
    Random random(9);
    const std::vector<float> gate = random.normals(kCount, 4);
    const std::vector<float> up = random.normals(kCount);
    for (const KernelTable* table : test::usable_tables()) {
        CAPTURE(table->name);
        std::vector<float> together(kCount);
        table->silu_mul(gate.data(), up.data(), kCount, together.data());
        for (uint32_t length = 1; length <= kCount; ++length) {
            std::vector<float> apart(kCount);
            for (uint32_t first = 0; first < kCount; first += length) {
                const uint32_t count = std::min(length, kCount - first);
                table->silu_mul(gate.data() + first, up.data() + first, count,
                                apart.data() + first);
            }
            CHECK(test::same_bits(apart, together));
        }
    }
}

TEST_CASE("add adds, exactly as floats do, and nothing behind the end") {
    for (const KernelTable* table : test::usable_tables()) {
        for (const uint32_t n : {1U, 15U, 16U, 33U, 576U}) {
            Random random(n);
            std::vector<float> x = random.normals(n);
            std::vector<float> y = random.normals(n);
            std::vector<float> expected = x;
            for (uint32_t i = 0; i < n; ++i) {
                expected[i] += y[i];
            }
            x.push_back(5);
            y.push_back(7);
            table->add(x.data(), y.data(), n);
            CHECK(x.back() == 5);
            x.pop_back();
            CHECK(test::same_bits(x, expected));
        }
    }
}

namespace {

// What store_kv makes of `values`, a multiple of 16 of them, as values of pages.
std::vector<uint16_t> stored_halves(const KernelTable& table, const std::vector<float>& values) {
    constexpr uint32_t kHeadDim = 16;
    constexpr size_t kPageValues = size_t{kPageTokens} * kHeadDim;
    std::vector<uint16_t> halves(values.size());
    for (size_t first = 0; first < values.size(); first += kPageValues) {
        std::vector<uint16_t> keys(kPageValues);
        std::vector<uint16_t> page(kPageValues);
        const size_t count = std::min(kPageValues, values.size() - first);
        table.store_kv({.keys = values.data() + first,
                        .values = values.data() + first,
                        .stride = kHeadDim,
                        .rows = static_cast<uint32_t>(count / kHeadDim),
                        .slot = 0,
                        .head_dim = kHeadDim,
                        .page_keys = reinterpret_cast<std::byte*>(keys.data()),
                        .page_values = reinterpret_cast<std::byte*>(page.data())});
        std::copy_n(page.begin(), count, halves.begin() + static_cast<ptrdiff_t>(first));
        for (size_t i = 0; i < count; ++i) {
            CHECK(keys[i % kHeadDim * kPageTokens + i / kHeadDim] == page[i]);
        }
    }
    return halves;
}

}  // namespace

TEST_CASE("store_kv rounds every kind of float to the nearest half, ties to even") {
    std::vector<float> values = {0.0F,       -0.0F,         1.0F,         65504.0F, 65519.99F,
                                 65520.0F,   -65520.0F,     0x1p-14F,     0x1p-24F, 0x1p-25F,
                                 0x1.8p-25F, -0x1.004p-14F, 0x1.ffcp-15F, 2049.0F,  2051.0F,
                                 kInfinity,  -kInfinity,    1e30F};
    Random random(11);
    while (values.size() < 4000) {
        values.push_back(std::ldexp(random.normal(), static_cast<int>(random.bits() % 50) - 30));
    }
    for (const KernelTable* table : test::usable_tables()) {
        CAPTURE(table->name);
        const std::vector<uint16_t> halves = stored_halves(*table, values);
        for (size_t i = 0; i < values.size(); ++i) {
            CAPTURE(values[i]);
            CHECK(halves[i] == test::half_from_float(values[i]));
        }
    }
}

TEST_CASE("store_kv has the same bits in every table, NaN included") {
    Random random(13);
    std::vector<float> values(1 << 14);
    for (float& value : values) {
        value = std::bit_cast<float>(random.bits());
    }
    const std::vector<uint16_t> expected = stored_halves(*find_kernel_table("scalar"), values);
    for (const KernelTable* table : test::usable_tables()) {
        CHECK(stored_halves(*table, values) == expected);
    }
}
