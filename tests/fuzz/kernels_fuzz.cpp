// Differential: whatever bytes become weights and activations, every table that this CPU can run
// must agree with the scalar one (bit for bit where kernel_table.h says so), packing must be
// reversible, and nothing may fault. Input: type, rows, blocks, tokens, one byte each; then
// activations as floats; then weight bytes. What is missing reads as zero.
#include "base/check.h"
#include "kernels/kernel_table.h"
#include "kernels/pack.h"
#include "kernels/weight_types.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace {

using namespace rekindle::kernels;

class Reader {
public:
    explicit Reader(std::span<const uint8_t> bytes) : bytes_(bytes) {}

    void fill(void* place, size_t count) {
        const size_t have = std::min(count, bytes_.size());
        std::memset(place, 0, count);
        if (have > 0) {
            std::memcpy(place, bytes_.data(), have);
        }
        bytes_ = bytes_.subspan(have);
    }

    // 1 to max.
    uint32_t count(uint32_t max) {
        uint8_t byte = 0;
        fill(&byte, 1);
        return byte % max + 1;
    }

private:
    std::span<const uint8_t> bytes_;
};

struct Case {
    WeightType type;
    uint32_t rows;
    uint32_t columns;
    uint32_t tokens;
    std::vector<float> values;
    std::vector<std::byte> packed;
};

bool quantised(WeightType type) {
    return weight_type_traits(type).block_columns > 1;
}

bool same(float a, float b) {
    return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b) ||
           (std::isnan(a) && std::isnan(b));
}

Case read_case(Reader& reader) {
    Case c;
    c.type = kWeightTypes[reader.count(std::size(kWeightTypes)) - 1];
    c.rows = reader.count(40);
    const uint32_t slices = weight_type_traits(c.type).block_columns / kBlockColumns;
    c.columns =
        slices <= 1 ? reader.count(18) * kBlockColumns : reader.count(3) * kSuperBlockColumns;
    c.tokens = reader.count(20);
    c.values.resize(size_t{c.tokens} * c.columns);
    reader.fill(c.values.data(), c.values.size() * sizeof(float));
    std::vector<std::byte> plain(plain_bytes(c.type, c.rows, c.columns));
    reader.fill(plain.data(), plain.size());
    c.packed.resize(packed_bytes(c.type, c.rows, c.columns));
    pack_weights(c.type, c.rows, c.columns, plain.data(), c.packed.data());
    std::vector<std::byte> back(plain.size());
    unpack_weights(c.type, c.rows, c.columns, c.packed.data(), back.data());
    REKINDLE_CHECK(back == plain, "unpacking is the inverse of packing");
    return c;
}

struct Outputs {
    std::vector<int8_t> quants;
    std::vector<float> scales;
    std::vector<int16_t> half_sums;
    std::vector<int16_t> quants16;
    std::vector<float> scales16;
    std::vector<int32_t> half_sums16;
    std::vector<float> products;
    std::vector<float> products16;
    std::vector<float> row;
    std::vector<std::byte> keys;    // Of a page of each type.
    std::vector<std::byte> values;  // Of a page.
};

// With inputs of 16 bits.
void multiply16(const KernelTable& table, const Case& c, const PackedMatrix& w, Outputs& out) {
    const size_t blocks = c.columns / kBlockColumns;
    out.quants16.resize(c.values.size());
    out.scales16.resize(c.tokens * blocks);
    out.half_sums16.resize(out.scales16.size() * 2);
    for (size_t token = 0; token < c.tokens; ++token) {
        const size_t first = token * c.columns;
        table.quantize16(c.values.data() + first, c.columns, out.quants16.data() + first,
                         out.scales16.data() + token * blocks,
                         out.half_sums16.data() + token * blocks * 2);
    }
    const Activations x{.values = c.values.data(),
                        .quants16 = out.quants16.data(),
                        .half_sums16 = out.half_sums16.data(),
                        .scales = out.scales16.data(),
                        .tokens = c.tokens,
                        .k = c.columns};
    out.products16.resize(size_t{c.tokens} * c.rows);
    table.matmul(w, 0, (c.rows + kPanelRows - 1) / kPanelRows, x, out.products16.data(), c.rows);
}

Outputs run(const KernelTable& table, const Case& c) {
    Outputs out;
    const size_t blocks = c.values.size() / kBlockColumns;
    out.quants.resize(c.values.size());
    out.scales.resize(blocks);
    out.half_sums.resize(blocks * 2);
    table.quantize(c.values.data(), static_cast<uint32_t>(c.values.size()), out.quants.data(),
                   out.scales.data(), out.half_sums.data());
    const PackedMatrix w{
        .type = c.type, .rows = c.rows, .columns = c.columns, .data = c.packed.data()};
    multiply16(table, c, w, out);
    const Activations x{.values = c.values.data(),
                        .quants = out.quants.data(),
                        .half_sums = out.half_sums.data(),
                        .scales = out.scales.data(),
                        .tokens = c.tokens,
                        .k = c.columns};
    out.products.resize(size_t{c.tokens} * c.rows);
    table.matmul(w, 0, (c.rows + kPanelRows - 1) / kPanelRows, x, out.products.data(), c.rows);
    out.row.resize(c.columns);
    table.dequantize_row(w, c.rows - 1, out.row.data());
    const uint32_t head_dim = c.columns < kHeadDimMax ? c.columns / 16 * 16 : kHeadDimMax;
    for (const KvType type : kKvTypes) {
        std::vector<std::byte> keys(kv_head_bytes(type, head_dim));
        std::vector<std::byte> values(keys.size());
        table.store_kv({.type = type,
                        .keys = c.values.data(),
                        .values = c.values.data(),
                        .stride = c.columns,
                        .rows = std::min(c.tokens, kPageTokens - 1),
                        .slot = 1,
                        .head_dim = head_dim,
                        .page_keys = keys.data(),
                        .page_values = values.data()});
        out.keys.insert(out.keys.end(), keys.begin(), keys.end());
        out.values.insert(out.values.end(), values.begin(), values.end());
    }
    return out;
}

// What `vdpbf16ps` may lose of one product: its input rounded to BF16 (2^-9 of it), and what is
// below the normal numbers, which it takes for zero, inputs and sums alike.
double lost_to_bf16(double weight, double value) {
    const bool flushed = std::min(std::abs(weight), std::abs(value)) < 0x1p-125;
    return std::abs(weight * value) * (flushed ? 1 : 0x1.01p-9) + 0x1p-125;
}

// Float types may be fused or not: two roundings for each k, of what the magnitudes bound. BF16
// weights may meet inputs that were rounded to BF16.
bool close(const Case& c, const Outputs& a, const Outputs& b, size_t index) {
    const float x = a.products[index];
    const float y = b.products[index];
    if (!std::isfinite(x) || !std::isfinite(y)) {
        return true;  // An intermediate overflow may happen in one order and not in the other.
    }
    const auto row = static_cast<uint32_t>(index % c.rows);
    const float* values = c.values.data() + index / c.rows * c.columns;
    std::vector<float> weights(c.columns);
    const PackedMatrix w{
        .type = c.type, .rows = c.rows, .columns = c.columns, .data = c.packed.data()};
    find_kernel_table("scalar")->dequantize_row(w, row, weights.data());
    double magnitude = 0;
    double allowed = 1e-40;
    for (uint32_t k = 0; k < c.columns; ++k) {
        magnitude += std::abs(double{weights[k]} * values[k]);
        allowed += c.type == WeightType::kBF16 ? lost_to_bf16(weights[k], values[k]) : 0;
    }
    return std::abs(double{x} - y) <= 4.0 * c.columns * 0x1p-24 * magnitude + allowed;
}

void compare(const Case& c, const Outputs& expected, const Outputs& out) {
    REKINDLE_CHECK(out.quants == expected.quants && out.half_sums == expected.half_sums,
                   "quantize has the same bits in every table");
    REKINDLE_CHECK(std::equal(out.scales.begin(), out.scales.end(), expected.scales.begin(), same),
                   "scales have the same bits in every table");
    REKINDLE_CHECK(std::equal(out.row.begin(), out.row.end(), expected.row.begin(), same),
                   "rows have the same bits in every table");
    REKINDLE_CHECK(out.keys == expected.keys && out.values == expected.values,
                   "pages have the same bits in every table");
    REKINDLE_CHECK(out.quants16 == expected.quants16 && out.half_sums16 == expected.half_sums16,
                   "quantize16 has the same bits in every table");
    REKINDLE_CHECK(
        std::equal(out.scales16.begin(), out.scales16.end(), expected.scales16.begin(), same),
        "scales of 16 bits have the same bits in every table");
    for (size_t i = 0; i < out.products16.size(); ++i) {
        REKINDLE_CHECK(!quantised(c.type) || same(out.products16[i], expected.products16[i]),
                       "products of 16 bits have the same bits in every table");
    }
    for (size_t i = 0; i < out.products.size(); ++i) {
        REKINDLE_CHECK(quantised(c.type) ? same(out.products[i], expected.products[i])
                                         : close(c, out, expected, i),
                       "products agree with the scalar table");
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    Reader reader({data, size});
    const Case c = read_case(reader);
    const Outputs expected = run(*find_kernel_table("scalar"), c);
    for (const std::string_view name : kKernelTableNames) {
        if (const KernelTable* table = find_kernel_table(name); table != nullptr) {
            compare(c, expected, run(*table, c));
        }
    }
    return 0;
}
