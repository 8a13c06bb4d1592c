#include "kernels/pack.h"

#include "kernels/weight_types.h"
#include "tests/kernels/support.h"

#include <doctest/doctest.h>

#include <algorithm>

using namespace rekindle::kernels;
using rekindle::kernels::test::Matrix;
using rekindle::kernels::test::Random;

TEST_CASE("unpacking returns the packed bytes of every type and row count") {
    for (const WeightType type : test::kAllTypes) {
        for (const uint32_t rows : {1U, 15U, 16U, 17U, 48U, 50U}) {
            for (const uint32_t wanted : {32U, 96U, 576U}) {
                const uint32_t columns = test::whole_blocks(type, wanted);
                CAPTURE(weight_type_traits(type).name);
                CAPTURE(rows);
                Random random(rows * columns);
                std::vector<std::byte> plain(plain_bytes(type, rows, columns));
                std::generate(plain.begin(), plain.end(),
                              [&] { return static_cast<std::byte>(random.bits()); });
                std::vector<std::byte> packed(packed_bytes(type, rows, columns), std::byte{0xee});
                std::vector<std::byte> back(plain.size());

                pack_weights(type, rows, columns, plain.data(), packed.data());
                unpack_weights(type, rows, columns, packed.data(), back.data());

                CHECK(back == plain);
            }
        }
    }
}

TEST_CASE("the rows that pad the last panel are zero bytes") {
    for (const WeightType type : test::kAllTypes) {
        const uint32_t columns = test::whole_blocks(type, 64);
        const std::vector<std::byte> plain(plain_bytes(type, 17, columns), std::byte{0xff});
        std::vector<std::byte> packed(packed_bytes(type, 17, columns), std::byte{0xee});
        std::vector<std::byte> back(plain_bytes(type, 32, columns));

        pack_weights(type, 17, columns, plain.data(), packed.data());
        unpack_weights(type, 32, columns, packed.data(), back.data());

        const auto padding = back.begin() + static_cast<ptrdiff_t>(plain.size());
        CHECK(std::all_of(back.begin(), padding, [](std::byte b) { return b == std::byte{0xff}; }));
        CHECK(std::all_of(padding, back.end(), [](std::byte b) { return b == std::byte{0}; }));
    }
}

TEST_CASE("panels packed one by one equal the matrix packed at once") {
    const Matrix whole(WeightType::kQ4_1, 40, 64, 1);
    std::vector<std::byte> pieces(packed_bytes(whole.type, whole.rows, whole.columns));
    for (uint32_t first = 0; first < whole.rows; first += kPanelRows) {
        const uint32_t rows = std::min(kPanelRows, whole.rows - first);
        pack_weights(whole.type, rows, whole.columns,
                     whole.plain().data() + plain_bytes(whole.type, first, whole.columns),
                     pieces.data() + packed_bytes(whole.type, first, whole.columns));
    }
    CHECK(std::equal(pieces.begin(), pieces.end(), whole.packed().data));
}

TEST_CASE("a Q4_1 block lies as docs/formats/packed-weights.md says") {
    constexpr uint32_t kRow = 3;
    std::vector<std::byte> plain(plain_bytes(WeightType::kQ4_1, 16, 32));
    std::byte* block = plain.data() + kRow * 20;
    for (uint32_t i = 0; i < 20; ++i) {
        block[i] = static_cast<std::byte>(100 + i);
    }
    std::vector<std::byte> packed(packed_bytes(WeightType::kQ4_1, 16, 32));

    pack_weights(WeightType::kQ4_1, 16, 32, plain.data(), packed.data());

    CHECK(packed[kRow * 2] == std::byte{100});       // Scales.
    CHECK(packed[32 + kRow * 2] == std::byte{102});  // Offsets.
    for (uint32_t i = 0; i < 16; ++i) {
        CHECK(packed[64 + i / 4 * 64 + kRow * 4 + i % 4] == static_cast<std::byte>(104 + i));
    }
}

TEST_CASE("a BF16 panel keeps pairs of k together") {
    std::vector<uint16_t> plain(16 * 4);
    for (uint32_t i = 0; i < plain.size(); ++i) {
        plain[i] = static_cast<uint16_t>(i);  // Row i / 4, column i % 4.
    }
    std::vector<uint16_t> packed(plain.size());

    pack_weights(WeightType::kBF16, 16, 4, reinterpret_cast<const std::byte*>(plain.data()),
                 reinterpret_cast<std::byte*>(packed.data()));

    CHECK(packed[0] == 0);  // Row 0, columns 0 and 1; then row 1.
    CHECK(packed[1] == 1);
    CHECK(packed[2] == 4);
    CHECK(packed[32] == 2);  // Row 0, column 2.
}

TEST_CASE("a weight type is found by GGUF's number, and no other number is one") {
    for (const WeightType type : test::kAllTypes) {
        CHECK(find_weight_type(static_cast<uint32_t>(type)) == &weight_type_traits(type));
    }
    for (const uint32_t number : {4U, 5U, 9U, 15U, 31U, 0xffffffffU}) {
        CHECK(find_weight_type(number) == nullptr);
    }
    CHECK(weight_type_traits(WeightType::kQ4_1).name == "Q4_1");
    CHECK(plain_bytes(WeightType::kQ4_1, 3, 64) == 3 * 2 * 20);
    CHECK(packed_bytes(WeightType::kQ4_1, 3, 64) == 16 * 2 * 20);
    CHECK(packed_bytes(WeightType::kBF16, 17, 2) == 32 * 2 * 2);
}
