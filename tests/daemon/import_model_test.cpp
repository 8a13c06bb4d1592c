#include "daemon/import_model.h"

#include "base/unique_fd.h"
#include "kernels/pack.h"
#include "kernels/weight_types.h"
#include "loader/formats/gguf.h"
#include "runtime/template/chat_template.h"
#include "runtime/tokenizer/tokenizer.h"
#include "tests/formats/tiny_llama.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <map>
#include <string>
#include <vector>

using rekindle::Error;
using rekindle::ErrorCode;
using rekindle::Result;
using rekindle::daemon::import_gguf;
using rekindle::kernels::WeightType;
using rekindle::snapshot::ImageLayout;
using rekindle::snapshot::TensorEntry;
using rekindle::test::GgufBuilder;
using rekindle::test::tiny_llama;
using rekindle::test::TinyLlama;

namespace {

constexpr std::array kMatrixTypes = {WeightType::kF32,  WeightType::kF16,  WeightType::kQ4_0,
                                     WeightType::kQ4_1, WeightType::kQ8_0, WeightType::kBF16};

struct Image {
    std::vector<std::byte> space;
    ImageLayout layout;
};

Result<Image> import_image(std::span<const std::byte> file) {
    Image image;
    uint64_t last_done = 0;
    uint64_t last_total = 0;
    const auto sink = [&image](uint64_t offset, std::span<const std::byte> plain,
                               bool) -> Result<void> {
        REQUIRE(offset == image.space.size());
        image.space.insert(image.space.end(), plain.begin(), plain.end());
        return {};
    };
    const auto progress = [&last_done, &last_total](uint64_t done, uint64_t total) {
        CHECK(done > last_done);
        CHECK(done <= total);
        last_done = done;
        last_total = total;
    };
    const Result<std::string> index = import_gguf(file, sink, progress);
    if (!index) {
        return index.error();
    }
    CHECK(last_done == last_total);
    Result<ImageLayout> layout = ImageLayout::parse(*index);
    REQUIRE_MESSAGE(layout.ok(), layout.error().message);
    image.layout = std::move(layout).value();
    CHECK(image.layout.bytes == image.space.size());
    return image;
}

Result<Image> import_image(const GgufBuilder& builder) {
    const std::vector<std::byte> file = builder.build();
    return import_image(file);
}

std::span<const std::byte> bytes_of(const Image& image, uint64_t offset, uint64_t bytes) {
    return std::span(image.space).subspan(static_cast<size_t>(offset), static_cast<size_t>(bytes));
}

// Every tensor of the file is in the image, and unpacks to exactly the file's bytes.
void check_tensors(const Image& image, std::span<const std::byte> file) {
    const auto gguf = rekindle::formats::parse_gguf(file);
    REQUIRE(gguf.ok());
    REQUIRE(image.layout.tensors.size() == gguf->tensors().size());
    for (const auto& source : gguf->tensors()) {
        CAPTURE(source.name);
        const TensorEntry* const tensor = image.layout.find(source.name);
        REQUIRE(tensor != nullptr);
        const std::span<const std::byte> plain = gguf->tensor_bytes(source);
        const std::span<const std::byte> packed = bytes_of(image, tensor->offset, tensor->bytes);
        if (tensor->rows == 1) {
            CHECK(std::ranges::equal(packed, plain));
            continue;
        }
        std::vector<std::byte> unpacked(plain.size());
        rekindle::kernels::unpack_weights(tensor->type, tensor->rows, tensor->columns,
                                          packed.data(), unpacked.data());
        CHECK(std::ranges::equal(unpacked, plain));
    }
}

Error error_of(const GgufBuilder& builder) {
    const Result<Image> image = import_image(builder);
    REQUIRE_FALSE(image);
    return image.error();
}

bool mentions(const Error& error, std::string_view what) {
    return error.message.find(what) != std::string::npos;
}

}  // namespace

TEST_CASE("what an import has packed unpacks to the file's bytes, for every type") {
    for (const WeightType type : kMatrixTypes) {
        CAPTURE(static_cast<uint32_t>(type));
        TinyLlama shape;
        shape.type = static_cast<uint32_t>(type);
        shape.tied_output = false;
        const std::vector<std::byte> file = tiny_llama(shape).build();

        const Result<Image> image = import_image(file);

        REQUIRE_MESSAGE(image.ok(), image.error().message);
        CHECK_FALSE(image->layout.hyperparameters.tied_output);
        CHECK(image->layout.find("blk.1.ffn_down.weight")->type == type);
        check_tensors(*image, file);
    }
}

TEST_CASE("a matrix that is packed in many steps unpacks to the file's bytes") {
    TinyLlama shape;
    shape.embedding = 256;  // Steps of 4 MiB hold 4096 rows of 256 floats.
    shape.heads = 16;
    shape.feed_forward = 9'000 / 32 * 32;
    shape.layers = 1;
    const std::vector<std::byte> file = tiny_llama(shape).build();
    const Result<Image> image = import_image(file);
    REQUIRE_MESSAGE(image.ok(), image.error().message);
    check_tensors(*image, file);
}

TEST_CASE("tensors lie in the order of first use") {
    const Result<Image> image = import_image(tiny_llama({.tied_output = false}));
    REQUIRE(image.ok());
    std::map<uint64_t, std::string> by_offset;
    for (const TensorEntry& tensor : image->layout.tensors) {
        by_offset[tensor.offset] = tensor.name;
    }
    std::vector<std::string> order;
    for (const auto& [offset, name] : by_offset) {
        order.push_back(name);
    }
    std::vector<std::string> expected{"token_embd.weight"};
    for (const std::string layer : {"blk.0.", "blk.1."}) {
        for (const char* const part : {"attn_norm", "attn_q", "attn_k", "attn_v", "attn_output",
                                       "ffn_norm", "ffn_gate", "ffn_up", "ffn_down"}) {
            expected.push_back(layer + part + ".weight");
        }
    }
    expected.insert(expected.end(), {"output_norm.weight", "output.weight"});
    CHECK(order == expected);
    CHECK(image->layout.tokenizer.offset == 0);
    CHECK(image->layout.chat_template.offset < by_offset.begin()->first);
}

TEST_CASE("vectors of half precision become the same numbers in single precision") {
    // One, two, smallest subnormal, infinity, minus zero, largest.
    constexpr std::array<uint16_t, 6> kHalf = {0x3c00, 0x4000, 0x0001, 0x7c00, 0x8000, 0x7bff};
    constexpr std::array<float, 6> kHalfValues = {
        1.0F, 2.0F, 0x1p-24F, std::numeric_limits<float>::infinity(), -0.0F, 65504.0F};
    constexpr std::array<uint16_t, 6> kBrain = {0x3f80, 0x4000, 0x0001, 0x7f80, 0x8000, 0x7f7f};
    const auto imported = [](WeightType type, const std::array<uint16_t, 6>& bits) {
        GgufBuilder builder = tiny_llama({.vector_type = static_cast<uint32_t>(type)});
        std::memcpy(builder.tensor("output_norm.weight").data.data(), bits.data(), sizeof(bits));
        const Result<Image> image = import_image(builder);
        REQUIRE(image.ok());
        const TensorEntry* const tensor = image->layout.find("output_norm.weight");
        CHECK(tensor->type == WeightType::kF32);
        CHECK(tensor->bytes == 64 * sizeof(float));
        std::array<uint32_t, 6> values{};
        std::memcpy(values.data(), bytes_of(*image, tensor->offset, sizeof(values)).data(),
                    sizeof(values));
        return values;
    };
    const auto half = imported(WeightType::kF16, kHalf);
    const auto brain = imported(WeightType::kBF16, kBrain);
    for (size_t i = 0; i < half.size(); ++i) {
        CAPTURE(i);
        CHECK(half[i] == std::bit_cast<uint32_t>(kHalfValues[i]));
        CHECK(brain[i] == static_cast<uint32_t>(kBrain[i]) << 16);
    }
}

TEST_CASE("the tables are the compiled tokenizer and chat template") {
    const Result<Image> image = import_image(tiny_llama({}));
    REQUIRE(image.ok());
    const auto& layout = image->layout;
    const auto tokenizer = rekindle::runtime::Tokenizer::open(
        bytes_of(*image, layout.tokenizer.offset, layout.tokenizer.bytes));
    REQUIRE_MESSAGE(tokenizer.ok(), tokenizer.error().message);
    CHECK(tokenizer->size() == rekindle::test::kTinyVocabulary);
    std::vector<rekindle::runtime::TokenId> ids;
    auto scratch = tokenizer->new_scratch();
    tokenizer->encode("abc", false, scratch, ids);
    CHECK(ids == std::vector<rekindle::runtime::TokenId>{27});
    const auto chat_template = rekindle::runtime::ChatTemplate::open(
        bytes_of(*image, layout.chat_template.offset, layout.chat_template.bytes));
    CHECK(chat_template.ok());

    const Result<Image> without = import_image(tiny_llama({.chat_template = ""}));
    REQUIRE(without.ok());
    CHECK(without->layout.chat_template.bytes == 0);
}

TEST_CASE("hyperparameters are the file's, with llama.cpp's defaults for those that are absent") {
    GgufBuilder builder = tiny_llama({.kv_heads = 4});
    builder.remove("llama.rope.freq_base").remove("llama.attention.head_count_kv");
    const Result<Image> image = import_image(builder);
    REQUIRE_MESSAGE(image.ok(), image.error().message);
    const auto& h = image->layout.hyperparameters;
    CHECK(h.architecture == "llama");
    CHECK(h.layers == 2);
    CHECK(h.kv_heads == h.heads);
    CHECK(h.head_dim == 16);
    CHECK(h.rope_dimensions == 16);
    CHECK(h.rope_base == 10000.0);
    CHECK(h.context == 128);
    CHECK(h.vocabulary == rekindle::test::kTinyVocabulary);
    CHECK(h.tied_output);
}

TEST_CASE("hyperparameters that are missing, zero or contradictory are refused by key") {
    for (const char* const key : {"block_count", "context_length", "embedding_length",
                                  "feed_forward_length", "attention.head_count"}) {
        const std::string full = std::string("llama.") + key;
        CAPTURE(full);
        GgufBuilder missing = tiny_llama({});
        missing.remove(full);
        CHECK(mentions(error_of(missing), full + " is missing"));
        for (const uint32_t value : {0U, 0x7fffffffU, 0x80000000U, 0xffffffffU}) {
            GgufBuilder wrong = tiny_llama({});
            wrong.remove(full).add_u32(full, value);
            CHECK(error_of(wrong).code == ErrorCode::kCorrupt);
            CHECK(mentions(error_of(wrong), full));
        }
        GgufBuilder text = tiny_llama({});
        text.remove(full).add_string(full, "8");
        CHECK(mentions(error_of(text), full));
    }
    GgufBuilder heads = tiny_llama({});
    heads.remove("llama.attention.head_count_kv").add_u32("llama.attention.head_count_kv", 3);
    CHECK(mentions(error_of(heads), "not a multiple of head_count_kv 3"));
    GgufBuilder layers = tiny_llama({});
    layers.remove("llama.block_count").add_u32("llama.block_count", 1025);
    CHECK(mentions(error_of(layers), "1 to 1024 are allowed"));
    GgufBuilder epsilon = tiny_llama({});
    epsilon.remove("llama.attention.layer_norm_rms_epsilon");
    CHECK(mentions(error_of(epsilon), "layer_norm_rms_epsilon is missing"));
    GgufBuilder base = tiny_llama({});
    base.remove("llama.rope.freq_base").add_f32("llama.rope.freq_base", -1);
    CHECK(mentions(error_of(base), "llama.rope.freq_base"));
}

TEST_CASE("what would change the arithmetic and is not implemented is named") {
    const auto refused = [](auto change) {
        GgufBuilder builder = tiny_llama({});
        change(builder);
        const Error error = error_of(builder);
        CHECK(error.code == ErrorCode::kUnsupported);
        return error;
    };
    CHECK(mentions(refused([](GgufBuilder& b) { b.add_string("llama.rope.scaling.type", "yarn"); }),
                   "rope scaling \"yarn\""));
    CHECK(mentions(refused([](GgufBuilder& b) { b.add_f32("llama.rope.scaling.factor", 8); }),
                   "llama.rope.scaling.factor"));
    CHECK(mentions(refused([](GgufBuilder& b) { b.add_u32("llama.expert_count", 8); }),
                   "mixture of 8 experts"));
    CHECK(mentions(refused([](GgufBuilder& b) { b.add_u32("llama.attention.key_length", 32); }),
                   "key_length 32 differs from value_length 16"));
    CHECK(mentions(refused([](GgufBuilder& b) { b.add_u32("llama.rope.dimension_count", 8); }),
                   "llama.rope.dimension_count 8"));
    CHECK(mentions(
        refused([](GgufBuilder& b) {
            b.remove("llama.attention.head_count").add_i32s("llama.attention.head_count", {4, 4});
        }),
        "differs from layer to layer"));
    CHECK(mentions(refused([](GgufBuilder& b) { b.add_u32("split.count", 3); }), "3 parts"));
    CHECK(
        mentions(refused([](GgufBuilder& b) {
                     b.remove("general.architecture").add_string("general.architecture", "gemma3");
                 }),
                 "architecture \"gemma3\" is not supported (supported: llama)"));
    CHECK(mentions(refused([](GgufBuilder& b) {
                       b.remove("tokenizer.ggml.pre").add_string("tokenizer.ggml.pre", "martian");
                   }),
                   "martian"));
    CHECK(error_of(tiny_llama({.embedding = 40, .heads = 5, .kv_heads = 1})).code ==
          ErrorCode::kUnsupported);
}

TEST_CASE("tensors of an unsupported type, missing, unknown or misshapen are named") {
    GgufBuilder type = tiny_llama({.embedding = 256, .feed_forward = 256, .heads = 16});
    auto& quantised = type.tensor("blk.0.ffn_down.weight");
    quantised.type = 21;
    quantised.data.resize(256 * 110);
    CHECK(error_of(type).code == ErrorCode::kUnsupported);
    CHECK(mentions(error_of(type), "tensor blk.0.ffn_down.weight has type IQ3_S"));

    GgufBuilder vector = tiny_llama({.vector_type = 8});
    CHECK(mentions(error_of(vector), "has type Q8_0, which is not supported for a vector"));

    GgufBuilder missing = tiny_llama({});
    missing.remove_tensor("blk.1.attn_k.weight");
    CHECK(error_of(missing).code == ErrorCode::kCorrupt);
    CHECK(mentions(error_of(missing), "tensor blk.1.attn_k.weight is missing"));

    GgufBuilder extra = tiny_llama({});
    extra.add_tensor("rope_freqs.weight", {8}, 0, std::vector<std::byte>(32));
    CHECK(error_of(extra).code == ErrorCode::kUnsupported);
    CHECK(mentions(error_of(extra), "tensor rope_freqs.weight is not part of"));

    GgufBuilder bias = tiny_llama({});
    bias.add_tensor("blk.0.attn_q.bias", {64}, 0, std::vector<std::byte>(256));
    CHECK(mentions(error_of(bias), "blk.0.attn_q.bias"));

    GgufBuilder shape = tiny_llama({});
    auto& transposed = shape.tensor("blk.0.ffn_up.weight");
    std::swap(transposed.dims[0], transposed.dims[1]);
    CHECK(mentions(error_of(shape), "tensor blk.0.ffn_up.weight has the shape 96x64x1x1; 64x96"));
}

TEST_CASE("a sink that fails ends the import with its error") {
    const std::vector<std::byte> file = tiny_llama({}).build();
    const Result<std::string> index = import_gguf(
        file,
        [](uint64_t, std::span<const std::byte>, bool) -> Result<void> {
            return Error{ErrorCode::kNoSpace, "disk full"};
        },
        nullptr);
    REQUIRE_FALSE(index);
    CHECK(index.error().code == ErrorCode::kNoSpace);
}

TEST_CASE("a real model comes through whole") {
    const char* const path = std::getenv("REKINDLE_TEST_MODEL");
    if (path == nullptr) {
        MESSAGE("skipped: REKINDLE_TEST_MODEL is not set");
        return;
    }
    const rekindle::UniqueFd fd(::open(path, O_RDONLY | O_CLOEXEC));
    REQUIRE(fd.valid());
    const auto mapping =
        rekindle::Mapping::read_only(fd.get(), rekindle::file_bytes(fd.get()).value());
    REQUIRE(mapping.ok());
    const Result<Image> image = import_image(mapping->span());
    REQUIRE_MESSAGE(image.ok(), image.error().message);
    check_tensors(*image, mapping->span());
}
