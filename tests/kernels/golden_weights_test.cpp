// Rows against what ggml's own reference in Python makes of the same bytes
// (tests/golden/weights/make_weights.py).
#include "base/json.h"
#include "kernels/kernel_table.h"
#include "kernels/pack.h"
#include "tests/kernels/support.h"

#include <doctest/doctest.h>

#include <fstream>
#include <sstream>
#include <string>

using namespace rekindle;
using namespace rekindle::kernels;

namespace {

json::object golden_blocks() {
    std::ifstream file(std::string(REKINDLE_TEST_DATA) + "/golden/weights/blocks.json");
    std::ostringstream text;
    text << file.rdbuf();
    const auto parsed = parse_json(text.str(), JsonLimits{});
    REQUIRE(parsed.ok());
    return parsed->as_object();
}

std::vector<std::byte> from_hex(std::string_view hex) {
    std::vector<std::byte> bytes;
    for (size_t i = 0; i + 1 < hex.size(); i += 2) {
        bytes.push_back(
            static_cast<std::byte>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
    }
    return bytes;
}

}  // namespace

TEST_CASE("every quantised type means what ggml's reference says") {
    const json::object golden = golden_blocks();
    for (const WeightType type : kWeightTypes) {
        if (!test::is_quantised(type)) {
            continue;
        }
        const WeightTypeTraits& traits = weight_type_traits(type);
        CAPTURE(traits.name);
        const json::object& record = golden.at(traits.name).as_object();
        const std::vector<std::byte> plain = from_hex(record.at("blocks").as_string());
        const json::array& values = record.at("values").as_array();
        const auto columns = static_cast<uint32_t>(values.size());
        REQUIRE(plain.size() == plain_bytes(type, 1, columns));
        std::vector<std::byte> packed(packed_bytes(type, 1, columns));
        pack_weights(type, 1, columns, plain.data(), packed.data());
        const PackedMatrix row{.type = type, .rows = 1, .columns = columns, .data = packed.data()};
        std::vector<float> out(columns);

        find_kernel_table("scalar")->dequantize_row(row, 0, out.data());

        for (uint32_t i = 0; i < columns; ++i) {
            // Products of a half and small integers are exact; an offset is added with a rounding.
            const double expected = values[i].to_number<double>();
            CHECK(std::abs(double{out[i]} - expected) <= 2 * test::kFloatEpsilon * 64);
        }
    }
}
