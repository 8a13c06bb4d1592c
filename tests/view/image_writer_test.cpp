#include "snapshot/view/image_writer.h"

#include "base/units.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using rekindle::Error;
using rekindle::ErrorCode;
using rekindle::kKiB;
using rekindle::kMiB;
using rekindle::kPageBytes;
using rekindle::Result;
using rekindle::kernels::WeightType;
using rekindle::snapshot::ChunkSink;
using rekindle::snapshot::Hyperparameters;
using rekindle::snapshot::ImageLayout;
using rekindle::snapshot::ImageWriter;

namespace {

struct Taken {
    uint64_t offset = 0;
    uint64_t bytes = 0;
    bool compress = false;
};

// Writes vectors of the given sizes (bytes, multiples of 4) and remembers what comes out.
struct Written {
    std::vector<Taken> chunks;
    std::vector<std::byte> space;
    ImageLayout layout;
};

Hyperparameters some_hyperparameters() {
    return {.architecture = "llama",
            .layers = 1,
            .embedding = 32,
            .feed_forward = 32,
            .heads = 2,
            .kv_heads = 1,
            .head_dim = 16,
            .vocabulary = 32,
            .context = 32,
            .rope_dimensions = 16,
            .rope_base = 1e5,
            .rms_epsilon = 1e-5,
            .tied_output = true};
}

struct Part {
    std::string name;
    uint64_t bytes = 0;
};

void declare(ImageWriter& writer, uint64_t tokenizer_bytes, const std::vector<Part>& parts) {
    writer.declare_table("tokenizer", tokenizer_bytes);
    for (const Part& part : parts) {
        writer.declare_tensor(part.name, WeightType::kF32, 1,
                              static_cast<uint32_t>(part.bytes / sizeof(float)), part.bytes);
    }
}

Written write_image(uint64_t tokenizer_bytes, const std::vector<Part>& parts) {
    ImageWriter writer(some_hyperparameters(), "gguf", 12345);
    declare(writer, tokenizer_bytes, parts);
    Written written;
    const ChunkSink sink = [&written](uint64_t offset, std::span<const std::byte> plain,
                                      bool compress) -> Result<void> {
        written.chunks.push_back({offset, plain.size(), compress});
        written.space.insert(written.space.end(), plain.begin(), plain.end());
        return {};
    };
    REQUIRE(writer.begin(sink).ok());
    std::vector<uint64_t> sizes{tokenizer_bytes};
    for (const Part& part : parts) {
        sizes.push_back(part.bytes);
    }
    uint8_t fill = 1;
    for (const uint64_t size : sizes) {
        const std::vector<std::byte> bytes(static_cast<size_t>(size), std::byte{fill++});
        // In two pieces of uneven size.
        const std::span<const std::byte> all(bytes);
        REQUIRE(writer.write(all.first(all.size() / 3)).ok());
        REQUIRE(writer.write(all.subspan(all.size() / 3)).ok());
        REQUIRE(writer.end_item().ok());
    }
    const Result<std::string> index = writer.finish();
    REQUIRE(index.ok());
    Result<ImageLayout> layout = ImageLayout::parse(*index);
    REQUIRE_MESSAGE(layout.ok(), layout.error().message);
    written.layout = std::move(layout).value();
    return written;
}

std::vector<uint64_t> chunk_sizes(const Written& written) {
    std::vector<uint64_t> sizes;
    for (const Taken& chunk : written.chunks) {
        sizes.push_back(chunk.bytes);
    }
    return sizes;
}

}  // namespace

TEST_CASE("the index is what a worker accepts and says what was declared") {
    const Written written = write_image(5000, {{"blk.0.attn_norm.weight", 128}});
    CHECK(written.layout.bytes == 3 * kPageBytes);
    CHECK(written.layout.tokenizer.offset == 0);
    CHECK(written.layout.tokenizer.bytes == 5000);
    CHECK(written.layout.chat_template.bytes == 0);
    CHECK(written.layout.hyperparameters.rope_base == 1e5);
    CHECK(written.layout.hyperparameters.rms_epsilon == 1e-5);
    const auto* const tensor = written.layout.find("blk.0.attn_norm.weight");
    REQUIRE(tensor != nullptr);
    CHECK(tensor->offset == 2 * kPageBytes);
    CHECK(tensor->bytes == 128);
}

TEST_CASE("parts begin at pages and the gaps between them are zero") {
    const Written written = write_image(5000, {{"a", 128}, {"b", 4096}, {"c", 4}});
    REQUIRE(written.space.size() == written.layout.bytes);
    CHECK(written.space[4999] == std::byte{1});
    CHECK(written.space[5000] == std::byte{0});
    CHECK(written.space[2 * kPageBytes] == std::byte{2});
    CHECK(written.space[2 * kPageBytes + 128] == std::byte{0});
    CHECK(written.space[3 * kPageBytes] == std::byte{3});
    CHECK(written.space[4 * kPageBytes - 1] == std::byte{3});
    CHECK(written.space[4 * kPageBytes + 3] == std::byte{4});
    CHECK(written.space.back() == std::byte{0});
}

TEST_CASE("tables have chunks of their own, and only those are worth compressing") {
    const Written written = write_image(5 * kMiB, {{"a", 8 * kKiB}, {"b", 3 * kMiB}});
    REQUIRE(written.chunks.size() == 3);
    CHECK(written.chunks[0].bytes == 4 * kMiB);
    CHECK(written.chunks[0].compress);
    CHECK(written.chunks[1].bytes == kMiB);
    CHECK(written.chunks[1].compress);
    CHECK(written.chunks[2].bytes == 3 * kMiB + 8 * kKiB);
    CHECK_FALSE(written.chunks[2].compress);
}

TEST_CASE("a new layer begins a chunk when the one before has two MiB, not sooner") {
    CHECK(chunk_sizes(write_image(4096, {{"blk.0.a", 2 * kMiB}, {"blk.1.a", kMiB}})) ==
          std::vector<uint64_t>{4096, 2 * kMiB, kMiB});
    CHECK(chunk_sizes(write_image(4096, {{"blk.0.a", 2 * kMiB - 4096}, {"blk.1.a", kMiB}})) ==
          std::vector<uint64_t>{4096, 3 * kMiB - 4096});
    CHECK(chunk_sizes(write_image(4096, {{"blk.0.a", 2 * kMiB}, {"blk.0.b", kMiB}})) ==
          std::vector<uint64_t>{4096, 3 * kMiB});
    CHECK(chunk_sizes(write_image(4096, {{"blk.1.a", 2 * kMiB}, {"blk.10.a", kMiB}})) ==
          std::vector<uint64_t>{4096, 2 * kMiB, kMiB});
}

TEST_CASE("a chunk has at most four MiB; a border falls between tensors where that leaves two") {
    CHECK(chunk_sizes(write_image(4096, {{"blk.0.a", 3 * kMiB}, {"blk.0.b", 2 * kMiB}})) ==
          std::vector<uint64_t>{4096, 3 * kMiB, 2 * kMiB});
    CHECK(chunk_sizes(write_image(4096, {{"blk.0.a", kMiB}, {"blk.0.b", 9 * kMiB}})) ==
          std::vector<uint64_t>{4096, 4 * kMiB, 4 * kMiB, 2 * kMiB});
    CHECK(chunk_sizes(write_image(4096, {{"blk.0.a", 4 * kMiB}, {"blk.0.b", 4}})) ==
          std::vector<uint64_t>{4096, 4 * kMiB, 4096});
}

TEST_CASE("a part that is shorter or longer than declared is refused") {
    ImageWriter writer(some_hyperparameters(), "gguf", 1);
    declare(writer, 100, {});
    REQUIRE(writer.begin(
        [](uint64_t, std::span<const std::byte>, bool) -> Result<void> { return {}; }));
    const std::vector<std::byte> bytes(100);
    REQUIRE(writer.write(std::span(bytes).first(99)).ok());
    CHECK_FALSE(writer.end_item());
    CHECK_FALSE(writer.write(bytes));
    CHECK_FALSE(writer.finish());
}

TEST_CASE("what an image cannot hold is refused before anything is written") {
    const auto begin = [](uint64_t bytes, size_t count) {
        ImageWriter writer(some_hyperparameters(), "gguf", 1);
        for (size_t i = 0; i < count; ++i) {
            writer.declare_tensor("t" + std::to_string(i), WeightType::kF32, 1, 1, bytes);
        }
        return writer.begin([](uint64_t, std::span<const std::byte>, bool) -> Result<void> {
            return Error{ErrorCode::kInternal, "nothing may be written"};
        });
    };
    CHECK(begin(1ULL << 40, 1).ok());
    CHECK(begin((1ULL << 40) + 1, 1).error().code == ErrorCode::kTooLarge);
    CHECK(begin(1ULL << 39, 3).error().code == ErrorCode::kTooLarge);
    CHECK(begin(~0ULL, 2).error().code == ErrorCode::kTooLarge);
    CHECK(begin(0, 1).error().code == ErrorCode::kTooLarge);
    CHECK(begin(4, 65'536).ok());
    CHECK(begin(4, 65'537).error().code == ErrorCode::kTooLarge);
}

TEST_CASE("a sink that fails ends the writing with its error") {
    ImageWriter writer(some_hyperparameters(), "gguf", 1);
    declare(writer, 4096, {});
    REQUIRE(writer.begin([](uint64_t, std::span<const std::byte>, bool) -> Result<void> {
        return Error{ErrorCode::kNoSpace, "disk full"};
    }));
    const std::vector<std::byte> bytes(4096);
    const Result<void> written = writer.write(bytes);
    REQUIRE_FALSE(written);
    CHECK(written.error().code == ErrorCode::kNoSpace);
}
