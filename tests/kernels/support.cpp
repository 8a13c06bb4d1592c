#include "tests/kernels/support.h"

#include "kernels/pack.h"

#include <array>
#include <bit>

namespace rekindle::kernels::test {
namespace {

uint16_t read_u16(const std::byte* place) {
    uint16_t value = 0;
    std::memcpy(&value, place, sizeof value);
    return value;
}

void write_u16(std::byte* place, uint16_t value) {
    std::memcpy(place, &value, sizeof value);
}

// Zero, the least denormal, a negative denormal, the largest finite value, its negative, one.
constexpr uint16_t kExtremeHalves[] = {0x0000, 0x0001, 0x83ff, 0x7bff, 0xfbff, 0x3c00};

// Filling a block with one of these gives the smallest or largest quants of every type.
constexpr std::byte kExtremeBytes[] = {std::byte{0x00}, std::byte{0x7f}, std::byte{0x80},
                                       std::byte{0xff}};

uint16_t random_half(Random& random, Weights weights) {
    if (weights == Weights::kAdversarial) {
        return kExtremeHalves[random.bits() % std::size(kExtremeHalves)];
    }
    return half_from_float(random.normal() * 0.01F);
}

float random_value(Random& random, Weights weights) {
    if (weights == Weights::kAdversarial && random.bits() % 4 == 0) {
        return random.bits() % 2 == 0 ? 0.0F : std::ldexp(random.normal(), -30);
    }
    return random.normal() * 0.05F;
}

// Where GGUF's block has its F16 fields.
std::vector<uint32_t> half_fields(WeightType type) {
    switch (type) {
        case WeightType::kQ4_1:
        case WeightType::kQ5_1:
        case WeightType::kQ4_K:
        case WeightType::kQ5_K:
            return {0, 2};
        case WeightType::kQ2_K:
            return {80, 82};
        case WeightType::kQ3_K:
            return {108};
        case WeightType::kQ6_K:
            return {208};
        default:
            return {0};
    }
}

// A block of GGUF's, read byte by byte: written from ggml's dequantize_row functions.
struct PlainBlock {
    const std::byte* bytes;

    int at(uint32_t place) const { return std::to_integer<int>(bytes[place]); }

    double half(uint32_t place) const { return half_to_double(read_u16(bytes + place)); }

    int nibble(uint32_t quants, uint32_t place) const {
        const int pair = at(quants + place % 16);
        return place < 16 ? pair & 15 : pair >> 4;
    }

    int fifth(uint32_t place_of_bits, uint32_t place) const {
        return ((at(place_of_bits + place / 8) >> (place % 8)) & 1) * 16;
    }

    // The factor and the minimum of 32 columns in the 12 bytes from `scales`.
    std::array<int, 2> pair(uint32_t scales, uint32_t j) const {
        if (j < 4) {
            return {at(scales + j) & 63, at(scales + j + 4) & 63};
        }
        return {(at(scales + j + 4) & 0xf) | ((at(scales + j - 4) >> 6) << 4),
                (at(scales + j + 4) >> 4) | ((at(scales + j) >> 6) << 4)};
    }

    double q2_k(uint32_t c) const {
        const int scale = at(c / 16);
        const int quant = (at(16 + c / 128 * 32 + c % 32) >> (c % 128 / 32 * 2)) & 3;
        return half(80) * (scale & 15) * quant - half(82) * (scale >> 4);
    }

    double q3_k(uint32_t c) const {
        const uint32_t i = c / 16;
        const int low = i < 8 ? at(96 + i) & 15 : at(96 + i - 8) >> 4;
        const int scale = (low | (((at(104 + i % 4) >> (i / 4 * 2)) & 3) << 4)) - 32;
        const int quant = (at(32 + c / 128 * 32 + c % 32) >> (c % 128 / 32 * 2)) & 3;
        const bool high = ((at(c % 32) >> (c / 32)) & 1) != 0;
        return half(108) * scale * (quant - (high ? 0 : 4));
    }

    double q45_k(uint32_t c, bool five) const {
        const auto [scale, min] = pair(4, c / 32);
        const uint32_t quants = five ? 48 : 16;
        int quant = (at(quants + c / 64 * 32 + c % 32) >> (c % 64 / 32 * 4)) & 15;
        if (five && ((at(16 + c % 32) >> (c / 32)) & 1) != 0) {
            quant += 16;
        }
        return half(0) * scale * quant - half(2) * min;
    }

    double q6_k(uint32_t c) const {
        const uint32_t n = c / 128;
        const uint32_t part = c % 128 / 32;
        const int low = (at(n * 64 + part % 2 * 32 + c % 32) >> (part / 2 * 4)) & 15;
        const int high = (at(128 + n * 32 + c % 32) >> (part * 2)) & 3;
        const auto scale = static_cast<int8_t>(at(192 + c / 16));
        return half(208) * scale * ((low | (high << 4)) - 32);
    }

    double iq4_xs(uint32_t c) const {
        const uint32_t i = c / 32;
        const int low = (at(4 + i / 2) >> (i % 2 * 4)) & 15;
        const int high = (read_u16(bytes + 2) >> (2 * i)) & 3;
        return half(0) * ((low | (high << 4)) - 32) * iq4_value(nibble(8 + i * 16, c % 32));
    }

    static int iq4_value(int nibble) {
        constexpr int kValues[] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                   1,    13,   25,  38,  53,  69,  89,  113};
        return kValues[nibble];
    }
};

}  // namespace

uint32_t whole_blocks(WeightType type, uint32_t columns) {
    const uint32_t unit = weight_type_traits(type).block_columns;
    return (columns + unit - 1) / unit * unit;
}

bool is_quantised(WeightType type) {
    return weight_type_traits(type).block_columns > 1;
}

std::vector<const KernelTable*> usable_tables() {
    std::vector<const KernelTable*> tables;
    for (const std::string_view name : kKernelTableNames) {
        if (const KernelTable* table = find_kernel_table(name); table != nullptr) {
            tables.push_back(table);
        }
    }
    return tables;
}

std::vector<float> Random::normals(size_t count, float scale) {
    std::vector<float> out(count);
    for (float& value : out) {
        value = normal() * scale;
    }
    return out;
}

Matrix::Matrix(WeightType matrix_type, uint32_t matrix_rows, uint32_t matrix_columns, uint64_t seed,
               Weights weights)
    : type(matrix_type),
      rows(matrix_rows),
      columns(matrix_columns),
      plain_(plain_bytes(type, rows, columns)),
      storage_(packed_bytes(type, rows, columns) + 64) {
    Random random(seed);
    fill(random, weights);
    void* aligned = storage_.data();
    size_t space = storage_.size();
    packed_ =
        static_cast<std::byte*>(std::align(64, packed_bytes(type, rows, columns), aligned, space));
    pack_weights(type, rows, columns, plain_.data(), packed_);
}

void Matrix::fill(Random& random, Weights weights) {
    const WeightTypeTraits& traits = weight_type_traits(type);
    for (size_t at = 0; at < plain_.size(); at += traits.block_bytes) {
        std::byte* block = plain_.data() + at;
        if (type == WeightType::kF32) {
            const float value = random_value(random, weights);
            std::memcpy(block, &value, sizeof value);
        } else if (type == WeightType::kF16) {
            write_u16(block, half_from_float(random_value(random, weights)));
        } else if (type == WeightType::kBF16) {
            const auto bits = std::bit_cast<uint32_t>(random_value(random, weights));
            write_u16(block, static_cast<uint16_t>(bits >> 16));
        } else {
            const bool extreme = weights == Weights::kAdversarial && random.bits() % 2 == 0;
            const auto same = kExtremeBytes[random.bits() % std::size(kExtremeBytes)];
            for (uint32_t i = 0; i < traits.block_bytes; ++i) {
                block[i] = extreme ? same : static_cast<std::byte>(random.bits());
            }
            for (const uint32_t place : half_fields(type)) {
                write_u16(block + place, random_half(random, weights));
            }
        }
    }
}

PackedMatrix Matrix::packed() const {
    return PackedMatrix{.type = type, .rows = rows, .columns = columns, .data = packed_};
}

double Matrix::value(uint32_t row, uint32_t column) const {
    const WeightTypeTraits& traits = weight_type_traits(type);
    const size_t blocks = columns / traits.block_columns;
    const std::byte* block =
        plain_.data() + (row * blocks + column / traits.block_columns) * traits.block_bytes;
    const uint32_t place = column % traits.block_columns;
    const PlainBlock read{block};
    switch (type) {
        case WeightType::kF32: {
            float value = 0;
            std::memcpy(&value, block, sizeof value);
            return double{value};
        }
        case WeightType::kF16:
            return read.half(0);
        case WeightType::kBF16:
            return double{std::bit_cast<float>(uint32_t{read_u16(block)} << 16)};
        case WeightType::kQ4_0:
            return read.half(0) * (read.nibble(2, place) - 8);
        case WeightType::kQ4_1:
            return read.half(0) * read.nibble(4, place) + read.half(2);
        case WeightType::kQ5_0:
            return read.half(0) * (read.nibble(6, place) + read.fifth(2, place) - 16);
        case WeightType::kQ5_1:
            return read.half(0) * (read.nibble(8, place) + read.fifth(4, place)) + read.half(2);
        case WeightType::kQ8_0:
            return read.half(0) * static_cast<int8_t>(read.at(2 + place));
        case WeightType::kQ2_K:
            return read.q2_k(place);
        case WeightType::kQ3_K:
            return read.q3_k(place);
        case WeightType::kQ4_K:
            return read.q45_k(place, false);
        case WeightType::kQ5_K:
            return read.q45_k(place, true);
        case WeightType::kQ6_K:
            return read.q6_k(place);
        case WeightType::kIQ4_NL:
            return read.half(0) * PlainBlock::iq4_value(read.nibble(2, place));
        case WeightType::kIQ4_XS:
            return read.iq4_xs(place);
    }
    return 0;
}

Inputs::Inputs(uint32_t token_count, uint32_t columns, uint64_t seed, Form input_form)
    : form(input_form),
      tokens(token_count),
      k(columns),
      values(Random(seed).normals(size_t{token_count} * columns)),
      scales(size_t{tokens} * (k / kBlockColumns)) {
    if (form == Form::k8Bits) {
        quants.resize(values.size());
        half_sums.resize(scales.size() * 2);
    } else {
        quants16.resize(values.size());
        half_sums16.resize(scales.size() * 2);
    }
    quantize(*find_kernel_table("scalar"));
}

void Inputs::quantize(const KernelTable& table) {
    for (uint32_t token = 0; token < tokens; ++token) {
        const size_t block = size_t{token} * (k / kBlockColumns);
        const size_t first = size_t{token} * k;
        if (form == Form::k8Bits) {
            table.quantize(values.data() + first, k, quants.data() + first, scales.data() + block,
                           half_sums.data() + block * 2);
        } else {
            table.quantize16(values.data() + first, k, quants16.data() + first,
                             scales.data() + block, half_sums16.data() + block * 2);
        }
    }
}

Activations Inputs::range(uint32_t first, uint32_t count) const {
    const size_t block = size_t{first} * (k / kBlockColumns);
    Activations view{.values = values.data() + size_t{first} * k,
                     .scales = scales.data() + block,
                     .tokens = count,
                     .k = k};
    if (form == Form::k8Bits) {
        view.quants = quants.data() + size_t{first} * k;
        view.half_sums = half_sums.data() + block * 2;
    } else {
        view.quants16 = quants16.data() + size_t{first} * k;
        view.half_sums16 = half_sums16.data() + block * 2;
    }
    return view;
}

double Inputs::quantised(uint32_t token, uint32_t column) const {
    constexpr uint32_t kPlaces[] = {0, 2, 1, 3};
    const size_t block = size_t{token} * (k / kBlockColumns) + column / kBlockColumns;
    const size_t first = size_t{token} * k;
    const int quant = form == Form::k8Bits ? quants[first + column]
                                           : quants16[first + column / 4 * 4 + kPlaces[column % 4]];
    return double{scales[block]} * quant;
}

double half_to_double(uint16_t half) {
    const double sign = (half & 0x8000) != 0 ? -1 : 1;
    const int exponent = (half >> 10) & 31;
    const int mantissa = half & 0x3ff;
    if (exponent == 31) {
        return mantissa != 0 ? std::nan("") : sign * HUGE_VAL;
    }
    return exponent == 0 ? sign * std::ldexp(mantissa, -24)
                         : sign * std::ldexp(mantissa + 1024, exponent - 25);
}

// By search, so that it is obviously right: the nearest half, and the even one of two.
uint16_t half_from_float(float value) {
    const double magnitude = std::abs(double{value});
    uint16_t low = 0;
    uint16_t high = 0x7c00;  // Stands for 65,536, where infinity begins to be nearest.
    const auto decode = [](uint16_t half) {
        return half == 0x7c00 ? 65536.0 : half_to_double(half);
    };
    while (high - low > 1) {
        const auto middle = static_cast<uint16_t>((low + high) / 2);
        (decode(middle) <= magnitude ? low : high) = middle;
    }
    const double below = magnitude - decode(low);
    const double above = decode(high) - magnitude;
    const bool up = above < below || (above == below && high % 2 == 0);
    const auto sign = static_cast<uint16_t>(std::signbit(value) ? 0x8000 : 0);
    return static_cast<uint16_t>(sign | (up ? high : low));
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
    if (a.size() != b.size()) {
        return false;
    }
    for (size_t i = 0; i < a.size(); ++i) {
        const bool both_nan = std::isnan(a[i]) && std::isnan(b[i]);
        if (!both_nan && std::bit_cast<uint32_t>(a[i]) != std::bit_cast<uint32_t>(b[i])) {
            return false;
        }
    }
    return true;
}

std::vector<float> multiply(const KernelTable& table, const Matrix& w, const Activations& x) {
    std::vector<float> out(size_t{x.tokens} * w.rows);
    const uint32_t panels = (w.rows + kPanelRows - 1) / kPanelRows;
    table.matmul(w.packed(), 0, panels, x, out.data(), w.rows);
    return out;
}

}  // namespace rekindle::kernels::test
