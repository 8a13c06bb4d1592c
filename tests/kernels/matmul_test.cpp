#include "kernels/kernel_table.h"
#include "tests/kernels/support.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>

using namespace rekindle::kernels;
using rekindle::kernels::test::Form;
using rekindle::kernels::test::Inputs;
using rekindle::kernels::test::Matrix;
using rekindle::kernels::test::Weights;

namespace {

struct Shape {
    uint32_t rows;
    uint32_t columns;
    uint32_t tokens;
};

// Odd row counts, one and many blocks (16 are gathered at a time), every width of the last tile.
constexpr Shape kShapes[] = {{1, 32, 1},   {15, 64, 2},  {16, 96, 3},   {17, 512, 4},
                             {33, 544, 5}, {48, 576, 6}, {16, 1056, 7}, {31, 64, 8},
                             {16, 64, 9},  {17, 32, 33}, {16, 96, 65},  {20, 64, 130}};

// The result and the sum of the magnitudes that were added up, which scales the allowed error.
struct Reference {
    double value = 0;
    double magnitude = 0;
};

Reference reference(const Matrix& w, const Inputs& x, uint32_t token, uint32_t row) {
    Reference sum;
    for (uint32_t column = 0; column < w.columns; ++column) {
        const double input = test::is_quantised(w.type)
                                 ? x.quantised(token, column)
                                 : double{x.values[size_t{token} * x.k + column]};
        sum.value += w.value(row, column) * input;
        sum.magnitude += std::abs(w.value(row, column) * input);
    }
    return sum;
}

// Where BF16 weights are multiplied as BF16, so are their inputs, rounded to 8 bits.
double input_rounding(const KernelTable& table, WeightType type) {
    return table.name == "avx512_bf16" && type == WeightType::kBF16 ? 0x1p-9 : 0;
}

// Each output is a chain of roundings: two per k for the float types (product, sum), up to four per
// block of 32 for the quantised ones (scale product, two fused sums, offset product), each at most
// 2^-24 of a partial sum that the magnitudes bound. Quantised dots are exact (of 16 bits rounded
// once, among the four), but Q4_0 and Q4_1 partial results are bounded by their parts only: |d * q|
// and |m| apart, at most 16 times more.
void check_close(const KernelTable& table, const Matrix& w, const Inputs& x) {
    const std::vector<float> out = test::multiply(table, w, x.all());
    const double chain = test::is_quantised(w.type) ? w.columns / 32.0 * 4 * 16 : w.columns * 2.0;
    const double allowed_share = chain * test::kFloatEpsilon + input_rounding(table, w.type);
    for (uint32_t token = 0; token < x.tokens; ++token) {
        for (uint32_t row = 0; row < w.rows; ++row) {
            const Reference expected = reference(w, x, token, row);
            const double allowed = allowed_share * expected.magnitude + 1e-37;
            CHECK(std::abs(double{out[size_t{token} * w.rows + row]} - expected.value) <= allowed);
        }
    }
}

void check_any_batch(const KernelTable& table, const Matrix& w, const Inputs& x) {
    const std::vector<float> together = test::multiply(table, w, x.all());
    for (uint32_t batch = 1; batch <= 13; ++batch) {
        std::vector<float> apart;
        for (uint32_t first = 0; first < x.tokens; first += batch) {
            const uint32_t count = std::min(batch, x.tokens - first);
            const auto part = test::multiply(table, w, x.range(first, count));
            apart.insert(apart.end(), part.begin(), part.end());
        }
        CHECK(test::same_bits(apart, together));
    }
}

}  // namespace

TEST_CASE("every table multiplies every type as exact arithmetic does, up to stated roundings") {
    for (const KernelTable* table : test::usable_tables()) {
        for (const WeightType type : test::kAllTypes) {
            for (const Shape& shape : kShapes) {
                CAPTURE(table->name);
                CAPTURE(weight_type_traits(type).name);
                CAPTURE(shape.rows);
                CAPTURE(shape.tokens);
                const uint32_t columns = test::whole_blocks(type, shape.columns);
                for (const Form form : test::kForms) {
                    const Inputs x(shape.tokens, columns, 7, form);
                    check_close(*table, Matrix(type, shape.rows, columns, 11), x);
                    check_close(*table,
                                Matrix(type, shape.rows, columns, 13, Weights::kAdversarial), x);
                }
            }
        }
    }
}

TEST_CASE("quantised products have the same bits in every table") {
    const KernelTable& scalar = *find_kernel_table("scalar");
    for (const KernelTable* table : test::usable_tables()) {
        for (const WeightType type : test::kAllTypes) {
            if (!test::is_quantised(type)) {
                continue;
            }
            for (const Shape& shape : kShapes) {
                for (const Weights weights : {Weights::kOrdinary, Weights::kAdversarial}) {
                    CAPTURE(table->name);
                    CAPTURE(weight_type_traits(type).name);
                    CAPTURE(shape.rows);
                    CAPTURE(shape.tokens);
                    const uint32_t columns = test::whole_blocks(type, shape.columns);
                    const Matrix w(type, shape.rows, columns, 17, weights);
                    for (const Form form : test::kForms) {
                        const Inputs x(shape.tokens, columns, 19, form);
                        CHECK(test::same_bits(test::multiply(*table, w, x.all()),
                                              test::multiply(scalar, w, x.all())));
                    }
                }
            }
        }
    }
}

TEST_CASE("the largest sums that quants can give have the same bits in every table") {
    constexpr uint32_t kTokens = 15;  // More than any table takes without unpacking first.
    const KernelTable& scalar = *find_kernel_table("scalar");
    for (const KernelTable* table : test::usable_tables()) {
        for (const WeightType type : test::kAllTypes) {
            CAPTURE(table->name);
            CAPTURE(weight_type_traits(type).name);
            const uint32_t columns = test::whole_blocks(type, 512);
            const Matrix w(type, 64, columns, 18, Weights::kAdversarial);
            for (const Form form : test::kForms) {
                Inputs x(kTokens, columns, 20, form);
                for (uint32_t i = 0; i < kTokens * columns; ++i) {
                    // One sign throughout, or signs that change every few columns.
                    const uint32_t token = i / columns % 7;
                    x.values[i] = token > 0 && (i >> (token - 1)) % 2 == 1 ? -1.0F : 1.0F;
                }
                x.quantize(scalar);
                if (test::is_quantised(type)) {
                    CHECK(test::same_bits(test::multiply(*table, w, x.all()),
                                          test::multiply(scalar, w, x.all())));
                }
            }
        }
    }
}

TEST_CASE("rows longer than a table takes at a time have the same bits in every table") {
    constexpr uint32_t kColumns = 4608;  // 64 tokens of more than 4,096 columns are two parts.
    constexpr uint32_t kTokens = 61;
    const KernelTable& scalar = *find_kernel_table("scalar");
    for (const WeightType type : {WeightType::kQ4_1, WeightType::kQ8_0, WeightType::kQ6_K}) {
        const Matrix w(type, 17, kColumns, 22);
        for (const Form form : test::kForms) {
            const Inputs x(kTokens, kColumns, 21, form);
            const std::vector<float> expected = test::multiply(scalar, w, x.all());
            for (const KernelTable* table : test::usable_tables()) {
                CAPTURE(table->name);
                CAPTURE(weight_type_traits(type).name);
                CHECK(test::same_bits(test::multiply(*table, w, x.all()), expected));
            }
        }
    }
}

TEST_CASE("a token's bits are the same alone and in any batch") {
    constexpr uint32_t kTokens = 70;  // More than one chunk of tokens.
    for (const KernelTable* table : test::usable_tables()) {
        for (const WeightType type : test::kAllTypes) {
            CAPTURE(table->name);
            CAPTURE(weight_type_traits(type).name);
            const uint32_t columns = test::whole_blocks(type, 96);
            const Matrix w(type, 33, columns, 23);
            for (const Form form : test::kForms) {
                check_any_batch(*table, w, Inputs(kTokens, columns, 29, form));
            }
        }
    }
}

TEST_CASE("panels can be computed in any split, and nothing but their rows is written") {
    constexpr uint32_t kTokens = 5;
    constexpr uint32_t kStride = 60;  // Wider than the 50 rows.
    constexpr float kUntouched = -77;
    for (const KernelTable* table : test::usable_tables()) {
        for (const WeightType type : test::kAllTypes) {
            CAPTURE(table->name);
            CAPTURE(weight_type_traits(type).name);
            const uint32_t columns = test::whole_blocks(type, 64);
            const Matrix w(type, 50, columns, 31);
            for (const Form form : test::kForms) {
                const Inputs x(kTokens, columns, 37, form);
                const std::vector<float> whole = test::multiply(*table, w, x.all());
                std::vector<float> split(kTokens * kStride, kUntouched);
                table->matmul(w.packed(), 3, 4, x.all(), split.data(), kStride);
                CHECK(split[48] == whole[48]);
                CHECK(split[47] == kUntouched);
                CHECK(split[50] == kUntouched);
                table->matmul(w.packed(), 0, 1, x.all(), split.data(), kStride);
                table->matmul(w.packed(), 1, 3, x.all(), split.data(), kStride);
                table->matmul(w.packed(), 2, 2, x.all(), split.data(), kStride);
                for (uint32_t i = 0; i < kTokens * kStride; ++i) {
                    const uint32_t row = i % kStride;
                    const float expected = row < 50 ? whole[i / kStride * 50 + row] : kUntouched;
                    CHECK(split[i] == expected);
                }
            }
        }
    }
}

TEST_CASE("a row is dequantised to the values that GGUF defines") {
    for (const KernelTable* table : test::usable_tables()) {
        for (const WeightType type : test::kAllTypes) {
            CAPTURE(table->name);
            CAPTURE(weight_type_traits(type).name);
            const Matrix w(type, 35, test::whole_blocks(type, 96), 41);
            for (const uint32_t row : {0U, 15U, 16U, 34U}) {
                std::vector<float> out(w.columns);
                table->dequantize_row(w.packed(), row, out.data());
                for (uint32_t column = 0; column < w.columns; ++column) {
                    const double expected = w.value(row, column);
                    // Q4_1 rounds the product and the sum; the parts are at most 0.1 * 15 + 0.1.
                    CHECK(std::abs(double{out[column]} - expected) <= 2 * test::kFloatEpsilon * 2);
                }
            }
        }
    }
}

TEST_CASE("a non-finite activation block turns its token's outputs into NaN and no other's") {
    for (const KernelTable* table : test::usable_tables()) {
        for (const WeightType type : test::kAllTypes) {
            if (!test::is_quantised(type) || weight_type_traits(type).block_columns > 64) {
                continue;  // Those of 256 columns share the code of these.
            }
            CAPTURE(table->name);
            const Matrix w(type, 16, 64, 43);
            for (const Form form : test::kForms) {
                Inputs x(3, 64, 47, form);
                x.values[64 + 40] = std::numeric_limits<float>::infinity();
                x.quantize(*table);
                const std::vector<float> out = test::multiply(*table, w, x.all());
                for (uint32_t row = 0; row < 16; ++row) {
                    CHECK(std::isfinite(out[row]));
                    CHECK(std::isnan(out[16 + row]));
                    CHECK(std::isfinite(out[32 + row]));
                }
            }
        }
    }
}
