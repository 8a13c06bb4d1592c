#include "snapshot/view/image_view.h"
#include "tests/view/sample_index.h"

#include <doctest/doctest.h>

#include <string>

using namespace rekindle;            // NOLINT(google-build-using-namespace): a test.
using namespace rekindle::snapshot;  // NOLINT(google-build-using-namespace): a test.
using test::sample_index;

namespace {

// The message, or "accepted".
std::string parsed(std::string_view from, std::string_view to) {
    auto layout = ImageLayout::parse(test::with(sample_index(), from, to));
    if (layout) {
        return "accepted";
    }
    CHECK(layout.error().code == ErrorCode::kCorrupt);
    return layout.error().message;
}

bool refused(std::string_view from, std::string_view to) {
    return parsed(from, to) != "accepted";
}

}  // namespace

TEST_CASE("a valid index gives its hyperparameters, tables, tensors and chunks") {
    auto layout = ImageLayout::parse(sample_index());
    REQUIRE_MESSAGE(layout.ok(), (layout.ok() ? "" : layout.error().message));
    CHECK(layout->bytes == 49152);
    CHECK(layout->hyperparameters.architecture == "llama");
    CHECK(layout->hyperparameters.kv_heads == 2);
    CHECK(layout->hyperparameters.rope_base == 100000.0);
    CHECK(layout->hyperparameters.tied_output);
    CHECK(layout->tokenizer.bytes == 1234);
    CHECK(layout->chat_template.offset == 4096);
    REQUIRE(layout->chunks.size() == 3);
    CHECK(layout->chunks[2].offset == 32768);
    const TensorEntry* const tensor = layout->find("token_embd.weight");
    REQUIRE(tensor != nullptr);
    CHECK(tensor->type == kernels::WeightType::kQ8_0);
    CHECK(tensor->offset == 8192);
    CHECK(layout->find("token_embd") == nullptr);
    CHECK(layout->find("") == nullptr);
}

TEST_CASE("an image without a chat template says so by zero bytes") {
    auto layout = ImageLayout::parse(test::with(sample_index(), R"(,
    "template": {"offset": 4096, "bytes": 812})",
                                                ""));
    REQUIRE(layout.ok());
    CHECK(layout->chat_template.bytes == 0);
}

TEST_CASE("unknown versions, layouts, types and architectures are refused by name") {
    CHECK(parsed(R"("layout": "r16-v1")", R"("layout": "r8-v9")") ==
          "image index: image: the layout \"r8-v9\" is unknown, this version reads \"r16-v1\"");
    CHECK(parsed(R"("architecture": "llama")", R"("architecture": "mamba")") ==
          "image index: image: the architecture \"mamba\" is unknown");
    CHECK(parsed(R"("type": "Q8_0")", R"("type": "Q9_9")") ==
          "image index: tensor 0: \"token_embd.weight\" has the unknown type \"Q9_9\"");
    CHECK(refused(R"("rekindle_image": 1)", R"("rekindle_image": 2)"));
    CHECK(refused(R"("rekindle_image": 1)", R"("rekindle_image": "1")"));
}

TEST_CASE("hyperparameters out of their bounds are refused") {
    CHECK(parsed(R"("layers": 1)", R"("layers": 1025)") ==
          "image index: hyperparameters: \"layers\" must be an integer from 1 to 1024");
    CHECK_FALSE(refused(R"("layers": 1)", R"("layers": 1024)"));
    CHECK(refused(R"("layers": 1)", R"("layers": 0)"));
    CHECK(refused(R"("layers": 1)", R"("layers": 1.5)"));
    CHECK(refused(R"("heads": 4)", R"("heads": -4)"));
    CHECK(refused(R"("heads": 4)", R"("heads": 18446744073709551615)"));
    CHECK(refused(R"("kv_heads": 2)", R"("kv_heads": 3)"));
    CHECK(refused(R"("rope_dimensions": 16)", R"("rope_dimensions": 18)"));
    CHECK(refused(R"("rope_dimensions": 16)", R"("rope_dimensions": 15)"));
    CHECK(refused(R"("rope_base": 100000.0)", R"("rope_base": 0)"));
    CHECK(refused(R"("rms_epsilon": 1e-5)", R"("rms_epsilon": 1e999)"));
    CHECK(refused(R"("tied_output": true)", R"("tied_output": 1)"));
    CHECK(refused(R"("vocabulary": 32, )", ""));
}

TEST_CASE("what leaves the image, overlaps or is not aligned is refused") {
    CHECK(refused(R"("offset": 12288, "bytes": 256)", R"("offset": 49152, "bytes": 256)"));
    CHECK(refused(R"("offset": 12288, "bytes": 256)", R"("offset": 12289, "bytes": 256)"));
    CHECK(parsed(R"("offset": 12288, "bytes": 256)", R"("offset": 8192, "bytes": 256)") ==
          "image index: image: [8192, +256) overlaps what begins at 8192");
    CHECK(refused(R"("offset": 0, "bytes": 1234)", R"("offset": 0, "bytes": 4097)"));
    CHECK(refused(R"("offset": 0, "bytes": 1234)", R"("offset": 4611686018427387904, "bytes": 8)"));
    CHECK(
        refused(R"("offset": 0, "bytes": 1234)", R"("offset": 0, "bytes": 18446744073709551615)"));
    CHECK(refused(R"("bytes": 49152)", R"("bytes": 49153)"));
    CHECK(refused(R"("bytes": 49152)", R"("bytes": 1099511631872)"));
}

TEST_CASE("a tensor's bytes follow from its type and shape") {
    CHECK(refused(R"("offset": 8192, "bytes": 2176)", R"("offset": 8192, "bytes": 2175)"));
    CHECK(refused(R"("rows": 32, "columns": 64)", R"("rows": 48, "columns": 64)"));
    CHECK(refused(R"("rows": 32, "columns": 64)", R"("rows": 32, "columns": 63)"));
    CHECK(refused(R"("rows": 1, "columns": 64)", R"("rows": 1, "columns": 16777217)"));
    CHECK(refused(R"("name": "output_norm.weight")", R"("name": "token_embd.weight")"));
    CHECK(refused(R"("name": "output_norm.weight")", R"("name": "")"));
}

TEST_CASE("chunks follow each other from zero to the end") {
    CHECK(refused(R"({"offset": 0, "bytes": 8192}, )", ""));
    CHECK(refused(R"({"offset": 0, "bytes": 8192})", R"({"offset": 0, "bytes": 4096})"));
    CHECK(refused(R"(,
    {"offset": 32768, "bytes": 16384})",
                  ""));
    CHECK(refused(R"({"offset": 0, "bytes": 8192})", "7"));
    CHECK(refused(R"({"offset": 0, "bytes": 8192})", R"({"offset": 0, "bytes": 0})"));
}

TEST_CASE("every truncation of an index is refused") {
    const std::string text = sample_index();
    for (size_t bytes = 0; bytes < text.size(); ++bytes) {
        REQUIRE_FALSE(ImageLayout::parse(std::string_view(text).substr(0, bytes)).ok());
    }
}
