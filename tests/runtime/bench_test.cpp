#include "runtime/bench.h"

#include "kernels/int8_limit.h"
#include "runtime/kv_pages.h"
#include "runtime/machine_limits.h"
#include "tests/runtime/synthetic_model.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>

using namespace rekindle;  // NOLINT(google-build-using-namespace): a test of one library.
using runtime::BenchCase;
using runtime::BenchOptions;
using tests::EngineFixture;
using tests::MemoryImage;

namespace {

constexpr uint32_t kPages = 4;
constexpr uint32_t kStepTokens = 16;

// A small model, an engine over it with room for 4 pages and steps of 16 tokens.
struct Bench {
    explicit Bench(const tests::SyntheticOptions& options = {})
        : image(tests::synthetic_hyperparameters(options), tests::synthetic_tensors(options)),
          layout(image.open()->layout()),
          engine(image.open().value(), {.kernels = tests::kernel_tables().front(),
                                        .kv_pages = kPages,
                                        .step_tokens_max = kStepTokens}),
          cost(runtime::step_cost(layout, kernels::KvType::kF16)) {}

    Result<runtime::BenchTimes> run(const BenchCase& what, runtime::OpProfile* profile = nullptr) {
        return runtime::run_bench(*engine, what, {.cost = cost, .seed = 1, .profile = profile},
                                  clock);
    }

    SystemClock clock;
    MemoryImage image;
    snapshot::ImageLayout layout;
    EngineFixture engine;
    runtime::StepCost cost;
};

}  // namespace

TEST_CASE("a step's cost counts each weight that is read and multiplied once") {
    // 3 layers: 4 heads of 32 over 2 KV heads on 64 values, feed-forward 96; 200 tokens.
    constexpr uint64_t kAttention = uint64_t{64} * 128 * 2 + uint64_t{64} * 64 * 2;
    constexpr uint64_t kLayer = kAttention + uint64_t{3} * 64 * 96;
    const Bench tied;
    CHECK(tied.cost.row_operations == 3 * kLayer * 2);
    CHECK(tied.cost.logit_operations == uint64_t{200} * 64 * 2);
    CHECK(tied.cost.kv_token_bytes == 3 * 2 * 2 * 32 * 2);
    const Bench separate({.tied_output = false});
    CHECK(separate.cost.head_bytes == separate.layout.find("output.weight")->bytes);
    CHECK(separate.cost.layer_bytes == tied.cost.layer_bytes);
}

TEST_CASE("a case counts what its prompts and its answers read and multiply") {
    Bench bench;
    const auto times = bench.run({.batch = 2, .prompt_tokens = 5, .answer_tokens = 3});
    REQUIRE(times);
    const runtime::StepCost& cost = bench.cost;
    CHECK(times->prefill.tokens == 10);
    CHECK(times->prefill.bytes == cost.layer_bytes + cost.head_bytes + 10 * cost.kv_token_bytes);
    CHECK(times->prefill.operations == 10 * cost.row_operations + 2 * cost.logit_operations);
    CHECK(times->decode.tokens == 6);
    // Both sequences are 6, 7 and 8 positions long when they are read.
    CHECK(times->decode.bytes ==
          3 * (cost.layer_bytes + cost.head_bytes) + 2 * (6 + 7 + 8) * cost.kv_token_bytes);
    CHECK(times->decode.operations == 6 * (cost.row_operations + cost.logit_operations));
    CHECK(bench.engine->free_pages() == kPages);
}

TEST_CASE("a prompt longer than a step is computed in several, and only the last one has logits") {
    Bench bench;
    const auto times = bench.run({.batch = 1, .prompt_tokens = kStepTokens + 1});
    REQUIRE(times);
    CHECK(times->prefill.tokens == kStepTokens + 1);
    CHECK(times->prefill.bytes == 2 * bench.cost.layer_bytes + bench.cost.head_bytes +
                                      (2 * kStepTokens + 1) * bench.cost.kv_token_bytes);
    CHECK(times->decode.tokens == 0);
}

TEST_CASE("a case beyond the engine's step, context or pages is refused") {
    Bench bench;
    const auto code = [&bench](const BenchCase& what) { return bench.run(what).error().code; };
    const uint32_t context = bench.engine->context_max();
    CHECK(context == kPages * kernels::kPageTokens);
    CHECK(code({.batch = 0, .prompt_tokens = 1}) == ErrorCode::kInvalidArgument);
    CHECK(code({.batch = 1, .prompt_tokens = 0}) == ErrorCode::kInvalidArgument);
    CHECK(code({.batch = kStepTokens + 1, .prompt_tokens = 1}) == ErrorCode::kInvalidArgument);
    CHECK(code({.batch = 1, .prompt_tokens = 1, .answer_tokens = context}) ==
          ErrorCode::kInvalidArgument);
    CHECK(bench.run({.batch = 1, .prompt_tokens = 1, .answer_tokens = context - 1}));
    CHECK(code({.batch = kPages + 1, .prompt_tokens = 1}) == ErrorCode::kResourceExhausted);
    CHECK(bench.run({.batch = kPages, .prompt_tokens = 1, .answer_tokens = 1}));
    CHECK(bench.engine->free_pages() == kPages);
}

TEST_CASE("a profile has the operations of the answers alone, within their time") {
    Bench bench;
    runtime::OpProfile profile(bench.clock);
    const auto times = bench.run({.batch = 2, .prompt_tokens = 4, .answer_tokens = 3}, &profile);
    REQUIRE(times);
    const auto of = [&profile](runtime::Op op) { return profile.times()[static_cast<size_t>(op)]; };
    CHECK(of(runtime::Op::kEmbed).calls == 3);
    CHECK(of(runtime::Op::kAttention).calls == 9);  // 3 layers, 3 steps.
    CHECK(of(runtime::Op::kNorm).calls == 18);
    CHECK(of(runtime::Op::kHead).calls == 3);
    uint64_t sum = 0;
    for (const runtime::OpTime& time : profile.times()) {
        CHECK(time.calls > 0);
        sum += time.nanoseconds;
    }
    CHECK(sum <= static_cast<uint64_t>(times->decode.time.count()));
    SUBCASE("and none after the profile was taken off") {
        REQUIRE(bench.run({.batch = 1, .prompt_tokens = 1, .answer_tokens = 1}));
        CHECK(of(runtime::Op::kHead).calls == 3);
    }
}

TEST_CASE("a prompt without answers is profiled itself") {
    Bench bench;
    runtime::OpProfile profile(bench.clock);
    REQUIRE(bench.run({.batch = 1, .prompt_tokens = kStepTokens + 1}, &profile));
    CHECK(profile.times()[static_cast<size_t>(runtime::Op::kDown)].calls == 6);
    CHECK(profile.times()[static_cast<size_t>(runtime::Op::kHead)].calls == 1);
}

TEST_CASE("each table with 8-bit instructions has a limit that can be measured") {
    const SystemClock clock;
    CHECK(runtime::measure_memory_read(1, clock) > 0);
    for (const kernels::KernelTable* table : tests::kernel_tables()) {
        CAPTURE(table->name);
        const bool scalar = table->name == "scalar";
        CHECK((runtime::measure_int8(*table, 2, clock) > 0) == !scalar);
        CHECK((kernels::run_int8_chains(*table, 1) > 0) == !scalar);
    }
}
