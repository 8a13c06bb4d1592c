#include "tests/runtime/synthetic_model.h"

#include "base/check.h"
#include "base/random.h"
#include "kernels/pack.h"
#include "snapshot/view/image_writer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace rekindle::tests {
namespace {

using kernels::WeightType;

// Random bits, stateful.
class Bits {
public:
    explicit Bits(uint64_t seed) : seed_(seed) {}

    uint64_t next() { return counter_random(seed_, 0, counter_++); }

    // Uniform in [-1, 1).
    float unit() { return static_cast<float>(counter_uniform(seed_, 0, counter_++) * 2 - 1); }

private:
    uint64_t seed_;
    uint64_t counter_ = 0;
};

template <typename T>
void put(std::vector<std::byte>& out, T value) {
    const auto* bytes = reinterpret_cast<const std::byte*>(&value);
    out.insert(out.end(), bytes, bytes + sizeof(T));
}

void put_random_bytes(std::vector<std::byte>& out, Bits& bits, uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
        put(out, static_cast<uint8_t>(bits.next()));
    }
}

// Halves of random sign and mantissa in a range of exponents: [2^low, 2^(high + 1)).
uint16_t random_half(Bits& bits, int low, int high) {
    constexpr int kBias = 15;
    const uint64_t word = bits.next();
    const auto exponent =
        static_cast<uint64_t>(kBias + low) + (word >> 32) % static_cast<uint64_t>(high - low + 1);
    return static_cast<uint16_t>((word & 0x83FF) | (exponent << 10));
}

constexpr uint16_t kHalfScale4 = 0x2400;   // 2^-6 as F16: nibbles of 0..15 give up to 1/4.
constexpr uint16_t kHalfScale5 = 0x2000;   // 2^-7
constexpr uint16_t kHalfScale8 = 0x1400;   // 2^-10 as F16: int8 gives up to 1/8.
constexpr uint16_t kHalfMinimum = 0xAF80;  // -15/128 as F16: centres Q4_1.

void put_block(std::vector<std::byte>& out, WeightType type, Bits& bits) {
    switch (type) {
        case WeightType::kF32:
            put(out, bits.unit() / 8);
            return;
        case WeightType::kF16:
            put(out, random_half(bits, -8, -4));
            return;
        case WeightType::kBF16: {
            const float value = bits.unit() / 8;
            uint32_t word = 0;
            std::memcpy(&word, &value, sizeof(word));
            put(out, static_cast<uint16_t>(word >> 16));
            return;
        }
        case WeightType::kQ4_0:
            put(out, kHalfScale4);
            put_random_bytes(out, bits, 16);
            return;
        case WeightType::kQ4_1:
            put(out, kHalfScale4);
            put(out, kHalfMinimum);
            put_random_bytes(out, bits, 16);
            return;
        case WeightType::kQ5_0:
            put(out, kHalfScale5);
            put_random_bytes(out, bits, 4 + 16);
            return;
        case WeightType::kQ5_1:
            put(out, kHalfScale5);
            put(out, kHalfMinimum);
            put_random_bytes(out, bits, 4 + 16);
            return;
        case WeightType::kQ8_0:
            put(out, kHalfScale8);
            put_random_bytes(out, bits, 32);
            return;
        case WeightType::kIQ4_NL:
            put(out, kHalfScale8);
            put_random_bytes(out, bits, 16);
            return;
        default:
            throw std::logic_error("no random blocks of 256 columns: these models are too small");
    }
}

PlainTensor random_matrix(WeightType type, uint32_t rows, uint32_t columns, Bits& bits) {
    PlainTensor tensor{.type = type, .rows = rows, .columns = columns, .bytes = {}};
    const uint64_t blocks =
        uint64_t{rows} * columns / kernels::weight_type_traits(type).block_columns;
    for (uint64_t i = 0; i < blocks; ++i) {
        put_block(tensor.bytes, type, bits);
    }
    return tensor;
}

PlainTensor random_norm(uint32_t columns, Bits& bits) {
    PlainTensor tensor{.type = WeightType::kF32, .rows = 1, .columns = columns, .bytes = {}};
    for (uint32_t i = 0; i < columns; ++i) {
        put(tensor.bytes, 1 + bits.unit() / 4);
    }
    return tensor;
}

std::vector<std::byte> packed(const PlainTensor& tensor) {
    if (tensor.rows == 1) {
        return tensor.bytes;
    }
    std::vector<std::byte> out(kernels::packed_bytes(tensor.type, tensor.rows, tensor.columns));
    kernels::pack_weights(tensor.type, tensor.rows, tensor.columns, tensor.bytes.data(),
                          out.data());
    return out;
}

}  // namespace

snapshot::Hyperparameters synthetic_hyperparameters(const SyntheticOptions& options) {
    return {.architecture = "llama",
            .layers = 3,
            .embedding = 64,
            .feed_forward = 96,
            .heads = 4,
            .kv_heads = 2,
            .head_dim = 32,
            .vocabulary = 200,
            .context = options.context,
            .rope_dimensions = options.rope_dimensions,
            .rope_base = 10000,
            .rms_epsilon = 1e-5,
            .tied_output = options.tied_output};
}

PlainTensors synthetic_tensors(const SyntheticOptions& options) {
    const auto h = synthetic_hyperparameters(options);
    const uint32_t query = h.heads * h.head_dim;
    const uint32_t kv = h.kv_heads * h.head_dim;
    Bits bits(options.seed);
    PlainTensors tensors;
    const auto matrix = [&](const std::string& name, uint32_t rows, uint32_t columns) {
        tensors[name] = random_matrix(options.matrices, rows, columns, bits);
    };
    matrix("token_embd.weight", h.vocabulary, h.embedding);
    for (uint32_t i = 0; i < h.layers; ++i) {
        const std::string layer = "blk." + std::to_string(i) + ".";
        tensors[layer + "attn_norm.weight"] = random_norm(h.embedding, bits);
        matrix(layer + "attn_q.weight", query, h.embedding);
        matrix(layer + "attn_k.weight", kv, h.embedding);
        matrix(layer + "attn_v.weight", kv, h.embedding);
        matrix(layer + "attn_output.weight", h.embedding, query);
        tensors[layer + "ffn_norm.weight"] = random_norm(h.embedding, bits);
        matrix(layer + "ffn_gate.weight", h.feed_forward, h.embedding);
        matrix(layer + "ffn_up.weight", h.feed_forward, h.embedding);
        matrix(layer + "ffn_down.weight", h.embedding, h.feed_forward);
    }
    tensors["output_norm.weight"] = random_norm(h.embedding, bits);
    if (!options.tied_output) {
        matrix("output.weight", h.vocabulary, h.embedding);
    }
    return tensors;
}

MemoryImage::MemoryImage(const snapshot::Hyperparameters& hyperparameters,
                         const PlainTensors& tensors) {
    snapshot::ImageWriter writer(hyperparameters, "gguf", 1);
    for (const auto& [name, tensor] : tensors) {
        writer.declare_tensor(name, tensor.type, tensor.rows, tensor.columns,
                              packed(tensor).size());
    }
    std::vector<std::byte> bytes;
    const auto begun = writer.begin([&](uint64_t, std::span<const std::byte> plain, bool) {
        bytes.insert(bytes.end(), plain.begin(), plain.end());
        return Result<void>();
    });
    REQUIRE(begun);
    for (const auto& [name, tensor] : tensors) {
        REQUIRE(writer.write(packed(tensor)));
        REQUIRE(writer.end_item());
    }
    auto index = writer.finish();
    REQUIRE(index);
    *this = MemoryImage(*index, bytes);
}

MemoryImage::MemoryImage(std::string index, std::span<const std::byte> bytes)
    : index_(std::move(index)), space_(bytes.size()) {
    std::ranges::copy(bytes, space_.data());
}

Result<snapshot::ImageView> MemoryImage::open() const {
    return snapshot::ImageView::over_memory(index_, {space_.data(), space_.size()});
}

EngineFixture::EngineFixture(snapshot::ImageView image, const Options& options)
    : image_(std::move(image)),
      kv_memory_(options.kv_pages *
                 runtime::kv_page_bytes(image_.layout().hyperparameters, options.kv_type)) {
    auto engine =
        runtime::Engine::create(image_, {.kernels = options.kernels,
                                         .threads = options.threads,
                                         .kv_type = options.kv_type,
                                         .kv_pages = options.kv_pages,
                                         .kv_memory = {kv_memory_.data(), kv_memory_.size()},
                                         .step_tokens_max = options.step_tokens_max});
    REQUIRE_MESSAGE(engine.ok(), (engine.ok() ? "" : engine.error().message));
    engine_ = std::move(engine).value();
}

std::vector<const kernels::KernelTable*> kernel_tables() {
    std::vector<const kernels::KernelTable*> tables;
    for (const std::string_view name : kernels::kKernelTableNames) {
        if (const auto* table = kernels::find_kernel_table(name)) {
            tables.push_back(table);
        }
    }
    REKINDLE_CHECK(!tables.empty(), "the scalar table runs everywhere");
    return tables;
}

}  // namespace rekindle::tests
