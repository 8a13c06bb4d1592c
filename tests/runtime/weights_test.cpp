#include "runtime/weights.h"

#include "tests/runtime/synthetic_model.h"

#include <doctest/doctest.h>

#include <string>

using namespace rekindle;  // NOLINT(google-build-using-namespace): a test of one library.
using tests::MemoryImage;
using tests::PlainTensors;

namespace {

Error bind_error(const snapshot::Hyperparameters& h, const PlainTensors& tensors) {
    const MemoryImage image(h, tensors);
    const auto view = image.open();
    REQUIRE(view);
    const auto config = runtime::ModelConfig::from(h);
    REQUIRE(config);
    const auto bound = runtime::Weights::bind(*view, *config);
    REQUIRE_FALSE(bound);
    return bound.error();
}

}  // namespace

TEST_CASE("a missing tensor is named") {
    auto tensors = tests::synthetic_tensors({});
    tensors.erase("blk.1.attn_k.weight");
    const Error error = bind_error(tests::synthetic_hyperparameters({}), tensors);
    CHECK(error.code == ErrorCode::kCorrupt);
    CHECK(error.message == "tensor blk.1.attn_k.weight: is missing in the image");
}

TEST_CASE("a tensor of another shape is named with both shapes") {
    auto h = tests::synthetic_hyperparameters({});
    h.feed_forward = 128;
    const Error error = bind_error(h, tests::synthetic_tensors({}));
    CHECK(error.code == ErrorCode::kCorrupt);
    CHECK(error.message ==
          "tensor blk.0.ffn_gate.weight: has 96 rows of 64, the hyperparameters ask for 128 of 64");
}

TEST_CASE("a tensor that the graph would ignore is refused") {
    auto tensors = tests::synthetic_tensors({});
    tensors["blk.2.attn_q.bias"] = tensors.at("blk.2.attn_norm.weight");
    const Error error = bind_error(tests::synthetic_hyperparameters({}), tensors);
    CHECK(error.code == ErrorCode::kUnsupported);
    CHECK(error.message == "tensor blk.2.attn_q.bias: the llama graph has no use for it");
}

TEST_CASE("an untied model needs its output head") {
    auto h = tests::synthetic_hyperparameters({});
    h.tied_output = false;
    const Error error = bind_error(h, tests::synthetic_tensors({}));
    CHECK(error.message == "tensor output.weight: is missing in the image");
}

TEST_CASE("hyperparameters that no graph or kernel here can serve are refused by number") {
    auto h = tests::synthetic_hyperparameters({});
    h.head_dim = 24;
    h.rope_dimensions = 24;
    CHECK(runtime::ModelConfig::from(h).error().message ==
          "model: heads of 24 values are not supported; a multiple of 16 up to 256 is");
    h = tests::synthetic_hyperparameters({});
    h.kv_heads = 3;
    CHECK(runtime::ModelConfig::from(h).error().message ==
          "model: 4 heads cannot share 3 KV heads evenly");
    h = tests::synthetic_hyperparameters({});
    h.heads = 34;
    CHECK(runtime::ModelConfig::from(h).error().message ==
          "model: 34 heads on 2 KV heads are not supported; up to 16 heads may share one");
    h = tests::synthetic_hyperparameters({});
    h.architecture = "mamba";
    CHECK(runtime::ModelConfig::from(h).error().code == ErrorCode::kUnsupported);
    h = tests::synthetic_hyperparameters({});
    h.rope_base = 0;
    CHECK_FALSE(runtime::ModelConfig::from(h));
    h = tests::synthetic_hyperparameters({});
    h.feed_forward = 262'145;
    CHECK(runtime::ModelConfig::from(h).error().code == ErrorCode::kTooLarge);
    h.feed_forward = 262'144;
    CHECK(runtime::ModelConfig::from(h));
    h.feed_forward = 1;
    CHECK(runtime::ModelConfig::from(h).error().code == ErrorCode::kCorrupt);
}
