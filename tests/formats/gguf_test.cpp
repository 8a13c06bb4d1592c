#include "loader/formats/gguf.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "tests/formats/gguf_builder.h"

#include <doctest/doctest.h>

#include <array>
#include <limits>
#include <string>
#include <vector>

using rekindle::ByteWriter;
using rekindle::ErrorCode;
using rekindle::Result;
using rekindle::formats::GgufFile;
using rekindle::formats::GgufType;
using rekindle::formats::parse_gguf;
using rekindle::test::GgufBuilder;
using rekindle::test::pattern_bytes;

namespace {

constexpr uint32_t kF32 = 0;
constexpr uint32_t kQ4_0 = 2;
constexpr uint32_t kU32 = static_cast<uint32_t>(GgufType::kUint32);
constexpr uint32_t kArray = static_cast<uint32_t>(GgufType::kArray);
constexpr uint32_t kString = static_cast<uint32_t>(GgufType::kString);

// Numbers at which sums and products of counts, offsets and sizes wrap or change sign.
constexpr std::array<uint64_t, 12> kNastyNumbers = {0,
                                                    1ULL << 31,
                                                    (1ULL << 31) - 1,
                                                    1ULL << 32,
                                                    (1ULL << 32) - 1,
                                                    (1ULL << 32) + 1,
                                                    (1ULL << 63) - 1,
                                                    1ULL << 63,
                                                    (1ULL << 63) + 1,
                                                    ~0ULL - 31,
                                                    ~0ULL - 1,
                                                    ~0ULL};

GgufBuilder small_file() {
    GgufBuilder builder;
    builder.add_string("general.architecture", "llama")
        .add_u32("llama.block_count", 2)
        .add_f32("llama.rope.freq_base", 10000)
        .add_bool("tokenizer.ggml.add_bos_token", true)
        .add_strings("tokenizer.ggml.tokens", {"a", "", "longer token"})
        .add_i32s("tokenizer.ggml.token_type", {1, -1, 3});
    builder.add_tensor("blk.0.ffn_up.weight", {64, 3}, kQ4_0, pattern_bytes(3 * 2 * 18, 1));
    builder.add_tensor("output_norm.weight", {8}, kF32, pattern_bytes(32, 2));
    return builder;
}

std::vector<std::byte> u64_bytes(uint64_t value) {
    ByteWriter out;
    out.write(value);
    return out.take();
}

// An array header that promises `count` elements and the bytes of `have`.
std::vector<std::byte> array_bytes(uint32_t element, uint64_t count, size_t have) {
    ByteWriter out;
    out.write(element);
    out.write(count);
    out.write_span(std::vector<std::byte>(have));
    return out.take();
}

ErrorCode code_of(const GgufBuilder& builder) {
    const Result<GgufFile> file = parse_gguf(builder.build());
    REQUIRE_FALSE(file);
    return file.error().code;
}

std::string message_of(const GgufBuilder& builder) {
    const Result<GgufFile> file = parse_gguf(builder.build());
    REQUIRE_FALSE(file);
    return file.error().message;
}

bool mentions(const std::string& message, std::string_view what) {
    return message.find(what) != std::string::npos;
}

}  // namespace

TEST_CASE("versions 2 and 3 give the same metadata and tensors") {
    for (const uint32_t version : {2U, 3U}) {
        GgufBuilder builder = small_file();
        builder.version = version;
        const std::vector<std::byte> bytes = builder.build();

        const Result<GgufFile> file = parse_gguf(bytes);

        REQUIRE(file.ok());
        CHECK(file->version() == version);
        CHECK(file->find_unsigned("llama.block_count").value() == 2);
        CHECK(file->find_float("llama.rope.freq_base").value() == 10000.0);
        CHECK(file->find_bool("tokenizer.ggml.add_bos_token").value() == true);
        CHECK(file->find_string("general.architecture").value() == "llama");
        CHECK(file->find_int32s("tokenizer.ggml.token_type").value() ==
              std::vector<int32_t>{1, -1, 3});
        REQUIRE(file->tensors().size() == 2);
        const auto* const matrix = file->find_tensor("blk.0.ffn_up.weight");
        REQUIRE(matrix != nullptr);
        CHECK(matrix->dims == std::array<uint64_t, 4>{64, 3, 1, 1});
        CHECK(matrix->type->name == "Q4_0");
        const auto data = file->tensor_bytes(*matrix);
        CHECK(std::vector<std::byte>(data.begin(), data.end()) == pattern_bytes(3 * 2 * 18, 1));
    }
}

TEST_CASE("an array of strings is walked in the file, empty strings included") {
    const std::vector<std::byte> bytes = small_file().build();
    const Result<GgufFile> file = parse_gguf(bytes);
    REQUIRE(file.ok());
    const auto strings = file->find_strings("tokenizer.ggml.tokens").value();
    REQUIRE(strings.has_value());
    CHECK(strings->size() == 3);
    CHECK(std::vector<std::string>(strings->begin(), strings->end()) ==
          std::vector<std::string>{"a", "", "longer token"});
}

TEST_CASE("a key that is absent is no error, one of another type is, by name") {
    const std::vector<std::byte> bytes = small_file().build();
    const Result<GgufFile> file = parse_gguf(bytes);
    REQUIRE(file.ok());
    CHECK(file->find_unsigned("llama.context_length").value() == std::nullopt);
    const auto wrong = file->find_unsigned("general.architecture");
    REQUIRE_FALSE(wrong);
    CHECK(wrong.error().code == ErrorCode::kCorrupt);
    CHECK(mentions(wrong.error().message, "general.architecture"));
    CHECK(mentions(wrong.error().message, "must be an integer >= 0, is string"));
}

TEST_CASE("a file that is cut anywhere is refused and the error says what was being read") {
    const std::vector<std::byte> bytes = small_file().build();
    for (size_t length = 0; length < bytes.size(); ++length) {
        // A copy of exactly that length, so that a sanitizer sees any read beyond it.
        const std::vector<std::byte> cut(bytes.begin(),
                                         bytes.begin() + static_cast<std::ptrdiff_t>(length));
        const Result<GgufFile> file = parse_gguf(cut);
        CAPTURE(length);
        REQUIRE_FALSE(file);
        CHECK(file.error().code == ErrorCode::kTruncated);
        CHECK(mentions(file.error().message, "GGUF "));
    }
}

TEST_CASE("no flipped bit before the data makes the parser read outside of the file") {
    const std::vector<std::byte> bytes = small_file().build();
    const size_t header_bytes = bytes.size() - 3 * 2 * 18 - 32;
    for (size_t at = 0; at < header_bytes; ++at) {
        for (uint32_t bit = 0; bit < 8; ++bit) {
            std::vector<std::byte> flipped = bytes;
            flipped[at] ^= static_cast<std::byte>(1U << bit);
            const Result<GgufFile> file = parse_gguf(flipped);
            if (!file) {
                CHECK_FALSE(file.error().message.empty());
                continue;
            }
            for (const auto& tensor : file->tensors()) {
                CHECK(file->tensor_bytes(tensor).size() == tensor.bytes);
            }
        }
    }
}

TEST_CASE("what is no GGUF file, big-endian, or of another version is named") {
    const auto parse_text = [](std::string_view text) {
        return parse_gguf(rekindle::as_bytes(text)).error();
    };
    CHECK(parse_text("PK\3\4 and so on, more than a header").code == ErrorCode::kCorrupt);
    CHECK(mentions(parse_text("PK\3\4 and so on").message, "not a GGUF file"));
    CHECK(parse_text("FUGG and so on").code == ErrorCode::kUnsupported);

    GgufBuilder builder = small_file();
    builder.version = 1;
    CHECK(code_of(builder) == ErrorCode::kUnsupported);
    CHECK(mentions(message_of(builder), "version 1 is not supported"));
    builder.version = 4;
    CHECK(mentions(message_of(builder), "version 4 is not supported"));
    builder.version = 0x03000000;
    CHECK(code_of(builder) == ErrorCode::kUnsupported);
    CHECK(mentions(message_of(builder), "big-endian"));
}

TEST_CASE("counts that the file cannot hold are refused before anything is allocated") {
    for (const uint64_t count : kNastyNumbers) {
        CAPTURE(count);
        GgufBuilder tensors = small_file();
        tensors.tensor_count_written = count;
        if (count != 0) {  // Fewer than there are leaves bytes that nobody asks for.
            CHECK_FALSE(parse_gguf(tensors.build()));
        }
        GgufBuilder entries = small_file();
        entries.entry_count_written = count;
        CHECK_FALSE(parse_gguf(entries.build()));
    }
    GgufBuilder beyond = small_file();
    beyond.entry_count_written = rekindle::formats::kGgufEntriesMax + 1;
    CHECK(code_of(beyond) == ErrorCode::kTooLarge);
    beyond.entry_count_written = rekindle::formats::kGgufEntriesMax;
    CHECK(code_of(beyond) == ErrorCode::kTruncated);
}

TEST_CASE("lengths of strings and arrays that leave the file are refused") {
    for (const uint64_t length : kNastyNumbers) {
        if (length == 0) {
            continue;
        }
        CAPTURE(length);
        GgufBuilder text = small_file();
        text.add_raw("text", kString, u64_bytes(length));
        CHECK(code_of(text) == ErrorCode::kTruncated);
        CHECK(mentions(message_of(text), "\"text\""));
        for (const uint32_t element : {0U, kU32, kString, 12U}) {
            GgufBuilder array = small_file();
            array.add_raw("array", kArray, array_bytes(element, length, 16));
            CHECK(code_of(array) == ErrorCode::kTruncated);
        }
    }
}

TEST_CASE("types that are not known and arrays of arrays are refused") {
    GgufBuilder unknown = small_file();
    unknown.add_raw("strange", 13, u64_bytes(0));
    CHECK(code_of(unknown) == ErrorCode::kCorrupt);
    CHECK(mentions(message_of(unknown), "value type 13 is not known"));

    GgufBuilder element = small_file();
    element.add_raw("strange", kArray, array_bytes(0xffffffff, 0, 0));
    CHECK(mentions(message_of(element), "array element type 4294967295 is not known"));

    GgufBuilder nested = small_file();
    nested.add_raw("nested", kArray, array_bytes(kArray, 0, 0));
    CHECK(code_of(nested) == ErrorCode::kUnsupported);

    GgufBuilder boolean = small_file();
    boolean.add_raw("flag", static_cast<uint32_t>(GgufType::kBool), std::vector{std::byte{2}});
    CHECK(mentions(message_of(boolean), "neither 0 nor 1"));
}

TEST_CASE("names are bounded, printable and there once") {
    GgufBuilder twice = small_file();
    twice.add_u32("llama.block_count", 3);
    CHECK(code_of(twice) == ErrorCode::kCorrupt);
    CHECK(mentions(message_of(twice), "\"llama.block_count\" is there twice"));

    GgufBuilder tensors = small_file();
    tensors.add_tensor("output_norm.weight", {8}, kF32, pattern_bytes(32, 3));
    CHECK(mentions(message_of(tensors), "tensor \"output_norm.weight\" is there twice"));

    GgufBuilder empty = small_file();
    empty.add_u32("", 1);
    CHECK(mentions(message_of(empty), "key has 0 bytes"));

    GgufBuilder control = small_file();
    control.add_tensor("a\nb", {8}, kF32, pattern_bytes(32, 3));
    CHECK(mentions(message_of(control), "not printable"));

    GgufBuilder at_limit = small_file();
    at_limit.add_tensor(std::string(64, 'n'), {8}, kF32, pattern_bytes(32, 3));
    CHECK(parse_gguf(at_limit.build()).ok());
    GgufBuilder beyond = small_file();
    beyond.add_tensor(std::string(65, 'n'), {8}, kF32, pattern_bytes(32, 3));
    CHECK(mentions(message_of(beyond), "name has 65 bytes; 1 to 64 are allowed"));
}

TEST_CASE("dimensions that are zero, too many or overflow are refused") {
    for (const uint64_t size : kNastyNumbers) {
        CAPTURE(size);
        for (size_t which = 0; which < 2; ++which) {
            GgufBuilder builder = small_file();
            builder.tensor("blk.0.ffn_up.weight").dims[which] = size;
            CHECK_FALSE(parse_gguf(builder.build()));
        }
        GgufBuilder square = small_file();
        square.tensor("blk.0.ffn_up.weight").dims = {size, size, size, size};
        CHECK_FALSE(parse_gguf(square.build()));
    }
    for (const uint32_t dimensions : {0U, 5U, 1U << 31, 0xffffffffU}) {
        GgufBuilder builder = small_file();
        builder.tensor("output_norm.weight").dimensions_written = dimensions;
        CHECK(mentions(message_of(builder), "1 to 4 are allowed"));
    }
    GgufBuilder ragged = small_file();
    ragged.tensor("blk.0.ffn_up.weight").dims = {63, 3};
    CHECK(mentions(message_of(ragged), "not a multiple of Q4_0's block of 32"));
}

TEST_CASE("a tensor's type must be one that the format knows, supported or not") {
    for (const uint32_t type : {4U, 31U, 42U, 0x80000000U, 0xffffffffU}) {
        GgufBuilder builder = small_file();
        builder.tensor("output_norm.weight").type = type;
        CHECK(code_of(builder) == ErrorCode::kUnsupported);
        CHECK(mentions(message_of(builder), "output_norm.weight"));
    }
}

TEST_CASE("tensor data outside of the file, unaligned or overlapping is refused") {
    for (const uint64_t offset : kNastyNumbers) {
        CAPTURE(offset);
        GgufBuilder builder = small_file();
        builder.tensor("output_norm.weight").offset_written = offset;
        CHECK_FALSE(parse_gguf(builder.build()));
    }
    GgufBuilder unaligned = small_file();
    unaligned.tensor("output_norm.weight").offset_written = 4;
    CHECK(mentions(message_of(unaligned), "not a multiple of the alignment 32"));
    GgufBuilder overlapping = small_file();
    overlapping.tensor("output_norm.weight").offset_written = 96;
    CHECK(code_of(overlapping) == ErrorCode::kCorrupt);
    CHECK(mentions(message_of(overlapping),
                   "\"blk.0.ffn_up.weight\" and \"output_norm.weight\" overlap"));
    GgufBuilder last_byte = small_file();
    last_byte.tensor("output_norm.weight").data.pop_back();
    CHECK(code_of(last_byte) == ErrorCode::kTruncated);
}

TEST_CASE("general.alignment must be a power of two within its limits") {
    for (const uint32_t alignment : {0U, 1U, 4U, 24U, 33U, 1U << 21, 1U << 31, 0xffffffffU}) {
        CAPTURE(alignment);
        GgufBuilder builder = small_file();
        builder.add_u32("general.alignment", alignment);
        CHECK(mentions(message_of(builder), "general.alignment"));
    }
    for (const uint32_t alignment : {8U, 64U, 4096U}) {
        GgufBuilder builder = small_file();
        builder.alignment = alignment;
        builder.add_u32("general.alignment", alignment);
        const std::vector<std::byte> bytes = builder.build();
        const Result<GgufFile> file = parse_gguf(bytes);
        REQUIRE(file.ok());
        CHECK(file->find_tensor("output_norm.weight")->offset % alignment == 0);
    }
    GgufBuilder text = small_file();
    text.add_string("general.alignment", "32");
    CHECK(mentions(message_of(text), "must be u32, is string"));
}

TEST_CASE("a float that is not finite and a negative count are refused by key") {
    GgufBuilder builder = small_file();
    builder.add_f32("broken", std::numeric_limits<float>::quiet_NaN());
    builder.add_raw("negative", static_cast<uint32_t>(GgufType::kInt64), u64_bytes(~0ULL));
    const std::vector<std::byte> bytes = builder.build();
    const Result<GgufFile> file = parse_gguf(bytes);
    REQUIRE(file.ok());
    CHECK(mentions(file->find_float("broken").error().message, "broken"));
    CHECK(mentions(file->find_unsigned("negative").error().message, "must be an integer >= 0"));
}
