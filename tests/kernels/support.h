// Matrices, activations and references in double precision for the kernel tests. The references
// decode GGUF's own form by themselves, so they share no code with the kernels.
#pragma once
#include "kernels/kernel_table.h"
#include "kernels/weight_types.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

namespace rekindle::kernels::test {

inline constexpr const auto& kAllTypes = kWeightTypes;
inline constexpr double kFloatEpsilon = 0x1p-24;  // Largest relative error of one float rounding.

bool is_quantised(WeightType type);
// `columns`, or the next number that is whole blocks of the type.
uint32_t whole_blocks(WeightType type, uint32_t columns);
// Every table that this CPU can run; the scalar one first.
std::vector<const KernelTable*> usable_tables();

class Random {
public:
    explicit Random(uint64_t seed) : engine_(seed) {}

    uint32_t bits() { return static_cast<uint32_t>(engine_()); }

    float uniform(float low, float high) {
        return low + (high - low) * static_cast<float>(bits() >> 8) * 0x1p-24F;
    }

    float normal() { return normal_(engine_); }

    std::vector<float> normals(size_t count, float scale = 1);

private:
    std::mt19937_64 engine_;
    std::normal_distribution<float> normal_;
};

// How the blocks of a random matrix look.
enum class Weights {
    kOrdinary,     // Scales and values as in real models.
    kAdversarial,  // Zero, denormal, negative and largest finite scales; extreme quants.
};

// A matrix in GGUF's form and packed, at a 64-byte aligned address.
class Matrix {
public:
    Matrix(WeightType type, uint32_t rows, uint32_t columns, uint64_t seed,
           Weights weights = Weights::kOrdinary);

    PackedMatrix packed() const;

    const std::vector<std::byte>& plain() const { return plain_; }

    // The weight as GGUF defines it, exactly.
    double value(uint32_t row, uint32_t column) const;

    const WeightType type;
    const uint32_t rows;
    const uint32_t columns;

private:
    void fill(Random& random, Weights weights);

    std::vector<std::byte> plain_;
    std::vector<std::byte> storage_;
    std::byte* packed_ = nullptr;
};

// Of which quantised form a product's inputs are.
enum class Form { k8Bits, k16Bits };

inline constexpr Form kForms[] = {Form::k8Bits, Form::k16Bits};

// `tokens` vectors of k values with their quantised form.
class Inputs {
public:
    Inputs(uint32_t tokens, uint32_t k, uint64_t seed, Form form = Form::k8Bits);

    // From `values` once more.
    void quantize(const KernelTable& table);

    Activations all() const { return range(0, tokens); }

    Activations range(uint32_t first, uint32_t count) const;
    double quantised(uint32_t token, uint32_t column) const;

    const Form form;
    const uint32_t tokens;
    const uint32_t k;
    std::vector<float> values;
    std::vector<int8_t> quants;
    std::vector<int16_t> half_sums;
    std::vector<int16_t> quants16;
    std::vector<int32_t> half_sums16;
    std::vector<float> scales;
};

double half_to_double(uint16_t half);
uint16_t half_from_float(float value);
// Bit for bit, but any NaN equals any NaN.
bool same_bits(const std::vector<float>& a, const std::vector<float>& b);

std::vector<float> multiply(const KernelTable& table, const Matrix& w, const Activations& x);

}  // namespace rekindle::kernels::test
