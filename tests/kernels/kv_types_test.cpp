// What holds for every type of KV pages: how rows are rounded, and that attention over them is that
// over the numbers that the pages say. attention_test.cpp goes deeper for F16.
#include "kernels/kernel_table.h"
#include "tests/kernels/support.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string_view>
#include <utility>

using namespace rekindle::kernels;
using rekindle::kernels::test::Random;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

template <typename T>
T read(const std::byte* base, size_t index) {
    T value{};
    std::memcpy(&value, base + index * sizeof value, sizeof value);
    return value;
}

// Number `index` of a head's keys or values, which belongs to `position`, as the page says it.
double number_in(KvType type, uint32_t head_dim, const std::byte* head, size_t index,
                 uint32_t position) {
    if (type == KvType::kF16) {
        return test::half_to_double(read<uint16_t>(head, index));
    }
    if (type == KvType::kBF16) {
        return double{std::bit_cast<float>(uint32_t{read<uint16_t>(head, index)} << 16)};
    }
    const std::byte* scales = head + size_t{kPageTokens} * head_dim;
    return static_cast<double>(read<int8_t>(head, index)) * double{read<float>(scales, position)};
}

// One head's keys and values in a page, between guard bytes.
struct HeadPage {
    static constexpr size_t kGuard = 64;
    static constexpr std::byte kUntouched{0xcd};

    HeadPage(KvType page_type, uint32_t dim)
        : type(page_type),
          head_dim(dim),
          keys(kv_head_bytes(type, dim) + kGuard, kUntouched),
          values(keys) {}

    void store(const KernelTable& table, const std::vector<float>& rows, uint32_t slot,
               uint32_t count) {
        const size_t stride = rows.size() / count;
        table.store_kv({.type = type,
                        .keys = rows.data(),
                        .values = rows.data() + stride / 2,
                        .stride = stride,
                        .rows = count,
                        .slot = slot,
                        .head_dim = head_dim,
                        .page_keys = keys.data(),
                        .page_values = values.data()});
    }

    double key(uint32_t p, uint32_t d) const {
        return number_in(type, head_dim, keys.data(), size_t{d} * kPageTokens + p, p);
    }

    double value(uint32_t p, uint32_t d) const {
        return number_in(type, head_dim, values.data(), size_t{p} * head_dim + d, p);
    }

    bool operator==(const HeadPage&) const = default;

    KvType type;
    uint32_t head_dim;
    std::vector<std::byte> keys;
    std::vector<std::byte> values;
};

// `rows` of keys then values, of every kind of size.
std::vector<float> wild_rows(uint32_t rows, uint32_t head_dim, uint64_t seed) {
    Random random(seed);
    std::vector<float> values;
    for (uint32_t i = 0; i < 2 * rows; ++i) {
        const int exponent = static_cast<int>(random.bits() % 200) - 100;
        for (uint32_t d = 0; d < head_dim; ++d) {
            values.push_back(std::ldexp(random.normal(), exponent));
        }
    }
    return values;
}

// Half a step of the page's numbers around `value`, in a row whose largest magnitude is `largest`.
double rounding_of(KvType type, double value, double largest) {
    switch (type) {
        case KvType::kF16:
            return std::max(std::abs(value) * 0x1p-11, 0x1p-25);
        case KvType::kBF16:
            return std::max(std::abs(value) * 0x1p-8, 0x1p-134);
        case KvType::kQ8_0:
            break;
    }
    return largest / 254 * (1 + 0x1p-20);  // Scale and quotient are rounded, too.
}

}  // namespace

TEST_CASE("bytes of a head in a page follow from its type, and keep the next head aligned") {
    CHECK(kv_head_bytes(KvType::kF16, 64) == 32 * 64 * 2);
    CHECK(kv_head_bytes(KvType::kBF16, 64) == 32 * 64 * 2);
    CHECK(kv_head_bytes(KvType::kQ8_0, 64) == 32 * (64 + 4));
    for (const KvType type : kKvTypes) {
        for (uint32_t head_dim = 16; head_dim <= kHeadDimMax; head_dim += 16) {
            CHECK(kv_head_bytes(type, head_dim) % 64 == 0);
            CHECK(kv_head_bytes(type, head_dim) == 32 * kv_row_bytes(type, head_dim));
        }
    }
}

TEST_CASE("stored rows are within half a step, in their slots, with the same bits in all tables") {
    for (const KvType type : kKvTypes) {
        for (const uint32_t head_dim : {16U, 64U, 80U, 256U}) {
            for (const auto& [slot, rows] :
                 {std::pair{0U, 32U}, {31U, 1U}, {3U, 7U}, {5U, 8U}, {1U, 20U}}) {
                CAPTURE(kv_type_name(type));
                CAPTURE(head_dim);
                CAPTURE(slot);
                // F16 would overflow: its own range is tested in vectors_test.cpp.
                std::vector<float> numbers = type == KvType::kF16
                                                 ? Random(slot).normals(size_t{2} * rows * head_dim)
                                                 : wild_rows(rows, head_dim, slot);
                HeadPage expected(type, head_dim);
                expected.store(*find_kernel_table("scalar"), numbers, slot, rows);
                uint32_t wrong = 0;
                for (uint32_t row = 0; row < 2 * rows; ++row) {
                    const float* first = numbers.data() + size_t{row} * head_dim;
                    double largest = 0;
                    for (uint32_t d = 0; d < head_dim; ++d) {
                        largest = std::max(largest, std::abs(double{first[d]}));
                    }
                    for (uint32_t d = 0; d < head_dim; ++d) {
                        const uint32_t p = slot + row / 2;
                        const double stored =
                            row % 2 == 0 ? expected.key(p, d) : expected.value(p, d);
                        const double allowed = rounding_of(type, double{first[d]}, largest);
                        wrong += std::abs(stored - double{first[d]}) <= allowed ? 0 : 1;
                    }
                }
                CHECK(wrong == 0);
                // What is untouched is as it was: in sum, so many bytes of each of keys and values.
                const auto untouched = [&](const std::vector<std::byte>& bytes) {
                    HeadPage other(type, head_dim);
                    std::fill(other.keys.begin(), other.keys.end(), std::byte{0x32});
                    other.values = other.keys;
                    other.store(*find_kernel_table("scalar"), numbers, slot, rows);
                    const auto& second = &bytes == &expected.keys ? other.keys : other.values;
                    size_t count = 0;
                    for (size_t i = 0; i < bytes.size(); ++i) {
                        count += bytes[i] == HeadPage::kUntouched && second[i] == std::byte{0x32};
                    }
                    return count;
                };
                const size_t left =
                    HeadPage::kGuard + (kPageTokens - rows) * kv_row_bytes(type, head_dim);
                CHECK(untouched(expected.keys) == left);
                CHECK(untouched(expected.values) == left);
                for (const KernelTable* table : test::usable_tables()) {
                    CAPTURE(table->name);
                    HeadPage page(type, head_dim);
                    page.store(*table, numbers, slot, rows);
                    CHECK(page == expected);
                }
            }
        }
    }
}

TEST_CASE("rows of zeros, denormals and the largest floats are rounded as they are told to be") {
    constexpr uint32_t kHeadDim = 16;
    const auto scale_of = [](const KernelTable& table, float first, float rest) {
        std::vector<float> numbers(2 * kHeadDim, rest);
        numbers[0] = first;
        HeadPage page(KvType::kQ8_0, kHeadDim);
        page.store(table, numbers, 3, 1);
        const auto scale = read<float>(page.keys.data() + size_t{kPageTokens} * kHeadDim, 3);
        const auto quant = read<int8_t>(page.keys.data(), 3);
        return std::pair(scale, quant);
    };
    for (const KernelTable* table : test::usable_tables()) {
        CAPTURE(table->name);
        CHECK(scale_of(*table, 0, 0) == std::pair(0.0F, int8_t{0}));
        CHECK(scale_of(*table, 1e-42F, 0) == std::pair(0.0F, int8_t{0}));
        CHECK(scale_of(*table, std::nextafter(kQuantizeFloor, 0.0F), 0) ==
              std::pair(0.0F, int8_t{0}));
        CHECK(scale_of(*table, -kQuantizeFloor, 0) ==
              std::pair(kQuantizeFloor / 127, int8_t{-127}));
        constexpr float kLargest = std::numeric_limits<float>::max();
        CHECK(scale_of(*table, kLargest, -kLargest) == std::pair(kLargest / 127, int8_t{127}));
        CHECK(scale_of(*table, 2.5F, 127) == std::pair(1.0F, int8_t{2}));  // Ties to even.
        CHECK(scale_of(*table, -3.5F, 127) == std::pair(1.0F, int8_t{-4}));
        for (const float bad : {kInfinity, -kInfinity, kNan}) {
            const auto [scale, quant] = scale_of(*table, bad, 1);
            CHECK(std::isnan(scale));
            CHECK(quant == 0);
        }
    }
}

TEST_CASE("bf16 pages keep what f16 cannot hold, and NaN stays one") {
    constexpr uint32_t kHeadDim = 16;
    std::vector<float> numbers(2 * kHeadDim);
    numbers[0] = 1e30F;
    numbers[1] = kInfinity;
    numbers[2] = kNan;
    numbers[3] = std::bit_cast<float>(0x7fffffffU);  // A NaN that rounding up would make a zero.
    numbers[4] = 0x1.01p0F;                          // A tie: to even, down.
    numbers[5] = 0x1.03p0F;                          // Up.
    for (const KernelTable* table : test::usable_tables()) {
        CAPTURE(table->name);
        HeadPage page(KvType::kBF16, kHeadDim);
        page.store(*table, numbers, 0, 1);
        CHECK(std::abs(page.key(0, 0) / 1e30 - 1) < 0x1p-8);
        CHECK(page.key(0, 1) == double{kInfinity});
        CHECK(std::isnan(page.key(0, 2)));
        CHECK(std::isnan(page.key(0, 3)));
        CHECK(page.key(0, 4) == 1.0);
        CHECK(page.key(0, 5) == 0x1.04p0);
    }
}

namespace {

struct Shape {
    uint32_t group;
    uint32_t head_dim;
};

// A sequence over pages of one head, and a query row for each of its positions.
class Sequence {
public:
    Sequence(KvType type, Shape shape, uint32_t positions, uint64_t seed)
        : type_(type), shape_(shape) {
        Random random(seed);
        for (uint32_t first = 0; first < positions; first += kPageTokens) {
            heads_.emplace_back(type, shape.head_dim);
            heads_.back().store(*find_kernel_table("scalar"),
                                random.normals(size_t{2} * kPageTokens * shape.head_dim), 0,
                                kPageTokens);
        }
        query_ = random.normals(positions * width());
        lay_out();
    }

    // After a change of heads(): the pages as attention reads them, values behind keys.
    void lay_out() {
        pages_.clear();
        for (const HeadPage& head : heads_) {
            std::vector<std::byte>& page = pages_.emplace_back(head.keys);
            page.insert(page.end(), head.values.begin(), head.values.end());
        }
        addresses_.clear();
        for (const std::vector<std::byte>& page : pages_) {
            addresses_.push_back(page.data());
        }
    }

    std::vector<HeadPage>& heads() { return heads_; }

    size_t width() const { return size_t{shape_.group} * shape_.head_dim; }

    std::vector<float> run(const KernelTable& table, uint32_t first, uint32_t rows,
                           uint32_t window = 0) const {
        std::vector<float> out(rows * width(), kNan);
        table.attention({.type = type_,
                         .query = query_.data() + first * width(),
                         .query_stride = width(),
                         .pages = addresses_.data(),
                         .key_offset = 0,
                         .value_offset = heads_[0].keys.size(),
                         .rows = rows,
                         .position = first,
                         .window = window,
                         .group = shape_.group,
                         .head_dim = shape_.head_dim,
                         .scale = 1 / std::sqrt(static_cast<float>(shape_.head_dim)),
                         .out = out.data(),
                         .out_stride = width()});
        return out;
    }

    // Softmax attention of one row in double precision over what the pages say.
    std::vector<double> reference(uint32_t position) const {
        std::vector<double> out(width());
        for (uint32_t head = 0; head < shape_.group; ++head) {
            const float* query = query_.data() + position * width() + head * shape_.head_dim;
            std::vector<double> weights(position + 1, 0);
            double sum = 0;
            for (uint32_t j = 0; j <= position; ++j) {
                for (uint32_t d = 0; d < shape_.head_dim; ++d) {
                    weights[j] += double{query[d]} * page_of(j).key(j % kPageTokens, d);
                }
                weights[j] = std::exp(weights[j] / std::sqrt(static_cast<double>(shape_.head_dim)));
                sum += weights[j];
            }
            for (uint32_t d = 0; d < shape_.head_dim; ++d) {
                for (uint32_t j = 0; j <= position; ++j) {
                    out[head * shape_.head_dim + d] +=
                        weights[j] / sum * page_of(j).value(j % kPageTokens, d);
                }
            }
        }
        return out;
    }

private:
    const HeadPage& page_of(uint32_t position) const { return heads_[position / kPageTokens]; }

    KvType type_;
    Shape shape_;
    std::vector<HeadPage> heads_;
    std::vector<std::vector<std::byte>> pages_;
    std::vector<const std::byte*> addresses_;
    std::vector<float> query_;
};

}  // namespace

// The tolerance is attention_test.cpp's: rounding of the sums, whatever the numbers' type.
TEST_CASE("attention over pages of each type equals softmax over the numbers that they say") {
    for (const KvType type : kKvTypes) {
        for (const Shape& shape : {Shape{1, 16},
                                   {2, 112},
                                   {3, 64},
                                   {4, 128},
                                   {5, 80},
                                   {6, 64},
                                   {7, 96},
                                   {8, 128},
                                   {16, 256}}) {
            for (const uint32_t context : {1U, 31U, 32U, 33U, 100U, 300U}) {
                const Sequence sequence(type, shape, context, context);
                const std::vector<double> expected = sequence.reference(context - 1);
                for (const KernelTable* table : test::usable_tables()) {
                    CAPTURE(kv_type_name(type));
                    CAPTURE(table->name);
                    CAPTURE(shape.group);
                    CAPTURE(context);
                    const std::vector<float> out = sequence.run(*table, context - 1, 1);
                    double worst = 0;
                    for (size_t i = 0; i < out.size(); ++i) {
                        worst = std::max(worst, std::abs(double{out[i]} - expected[i]));
                    }
                    CHECK(worst <= 1e-4);
                }
            }
        }
    }
}

TEST_CASE("over pages of each type a row has the same bits alone and in every tile") {
    constexpr uint32_t kPositions = 150;
    for (const KvType type : kKvTypes) {
        for (const KernelTable* table : test::usable_tables()) {
            for (const Shape& shape : {Shape{3, 64}, {1, 128}, {7, 96}}) {
                for (const uint32_t window : {0U, 20U, 64U}) {
                    const Sequence sequence(type, shape, kPositions, 4);
                    std::vector<float> alone;
                    for (uint32_t position = 0; position < kPositions; ++position) {
                        const auto row = sequence.run(*table, position, 1, window);
                        alone.insert(alone.end(), row.begin(), row.end());
                    }
                    for (const uint32_t rows : {2U, 7U, 31U, 32U, 33U, 150U}) {
                        CAPTURE(kv_type_name(type));
                        CAPTURE(table->name);
                        CAPTURE(rows);
                        std::vector<float> chunks;
                        for (uint32_t first = 0; first < kPositions; first += rows) {
                            const auto part = sequence.run(
                                *table, first, std::min(rows, kPositions - first), window);
                            chunks.insert(chunks.end(), part.begin(), part.end());
                        }
                        CHECK(test::same_bits(chunks, alone));
                    }
                }
            }
        }
    }
}

TEST_CASE("rows stored one by one and together make the same page") {
    for (const KvType type : kKvTypes) {
        for (const KernelTable* table : test::usable_tables()) {
            constexpr uint32_t kHeadDim = 64;
            const std::vector<float> numbers = wild_rows(kPageTokens, kHeadDim, 9);
            HeadPage together(type, kHeadDim);
            together.store(*table, numbers, 0, kPageTokens);
            HeadPage singly(type, kHeadDim);
            for (uint32_t row = 0; row < kPageTokens; ++row) {
                const auto* first = numbers.data() + size_t{row} * 2 * kHeadDim;
                singly.store(*table, {first, first + 2 * kHeadDim}, row, 1);
            }
            CAPTURE(kv_type_name(type));
            CAPTURE(table->name);
            CHECK(singly == together);
        }
    }
}

TEST_CASE("what a row does not see does not matter in pages of any type, even if it is NaN") {
    const Shape shape{3, 64};
    for (const KvType type : kKvTypes) {
        for (const KernelTable* table : test::usable_tables()) {
            for (const uint32_t context : {1U, 9U, 33U, 60U}) {
                CAPTURE(kv_type_name(type));
                CAPTURE(table->name);
                CAPTURE(context);
                Sequence sequence(type, shape, 64, 7);
                const std::vector<float> clean = sequence.run(*table, 0, context);
                const std::vector<float> bad(2 * shape.head_dim, kNan);
                for (uint32_t position = context; position < 64; ++position) {
                    sequence.heads()[position / kPageTokens].store(*table, bad,
                                                                   position % kPageTokens, 1);
                }
                sequence.lay_out();
                CHECK(test::same_bits(sequence.run(*table, 0, context), clean));
                std::vector<float> longer = sequence.run(*table, 0, 64);
                CHECK(std::isnan(longer.back()));
                longer.resize(clean.size());
                CHECK(test::same_bits(longer, clean));
            }
        }
    }
}

TEST_CASE("a page of zeros gives zeros, not what a scale of zero would divide by") {
    for (const KvType type : kKvTypes) {
        for (const KernelTable* table : test::usable_tables()) {
            Sequence sequence(type, {2, 32}, 32, 8);
            sequence.heads()[0].store(*table, std::vector<float>(size_t{64} * 32), 0, 32);
            sequence.lay_out();
            for (const float value : sequence.run(*table, 31, 1)) {
                CHECK(value == 0);
            }
        }
    }
}
