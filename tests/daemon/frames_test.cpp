#include "daemon/frames.h"

#include <doctest/doctest.h>

#include <cstring>
#include <limits>
#include <vector>

using namespace rekindle;          // NOLINT(google-build-using-namespace): test file.
using namespace rekindle::daemon;  // NOLINT(google-build-using-namespace): test file.

namespace {

BenchedFrame whole_bench() {
    return {.prefill = {.nanoseconds = 9, .tokens = 8, .bytes = 7, .operations = 6},
            .decode = {.nanoseconds = 10, .tokens = 1},
            .memory_bytes_per_second = 5,
            .int8_per_second = 4,
            .ops = {{.name = "down", .nanoseconds = 7, .calls = 2},
                    {.name = "gate_up", .nanoseconds = 3, .calls = 1}}};
}

std::vector<Frame> one_of_each() {
    LogprobItem item{.bytes = " the", .token = 260, .logprob = -0.5F};
    item.top = {LogprobItem{.bytes = " a", .token = 253, .logprob = -1.25F}};
    return {HelloFrame{kWireProtocol, "avx512_vnni"},
            AssignFrame{.model = "m",
                        .index_json = "{}",
                        .extent_bytes = {4096, 8192},
                        .kv_bytes = 1 << 20,
                        .kv_table_bytes = 8192,
                        .kv_type = kernels::KvType::kQ8_0,
                        .context_max = 2048,
                        .threads = 2,
                        .sequences_max = 8,
                        .speculation = false},
            AssignedFrame{ErrorCode::kUnsupported, "no", 1, 2, true},
            AssignDraftFrame{.index_json = "{}", .extent_bytes = {4096}, .kv_bytes = 1 << 20},
            DraftAssignedFrame{ErrorCode::kInvalidArgument, "another vocabulary"},
            SubmitFrame{.id = 7,
                        .kind = PromptKind::kTokens,
                        .tokens = {1, 2, 3},
                        .tokens_max = 5,
                        .tokens_cap = 9,
                        .repetition_penalty = 1.5F,
                        .presence_penalty = -2,
                        .frequency_penalty = 0.5F,
                        .logit_bias = {{3, -100}, {50'256, 2.5F}},
                        .seed = std::numeric_limits<uint64_t>::max(),
                        .want_logprobs = true,
                        .top_logprobs = 20,
                        .stop = {"\n", "END"},
                        .salt = {1, std::numeric_limits<uint64_t>::max()}},
            TokenizedFrame{.id = 7, .prompt_tokens = 40, .cached_tokens = 32, .tokens_max = 5},
            GoFrame{7, 64},
            RefuseFrame{8},
            LeaseFrame{7, 32},
            CancelFrame{9},
            CoresFrame{3},
            TokensFrame{.id = 7,
                        .sampled = 1,
                        .finish = Finish::kStop,
                        .text = "the",
                        .logprobs = {item},
                        .matched_stop = "END"},
            FailedFrame{ErrorCode::kUnavailable, "chunk 3 failed"},
            BenchFrame{.batch = 8, .prompt = 128, .answer = 64, .seed = 3, .profile = true},
            whole_bench(),
            FirstPassFrame{{{0, 4096, 1, 2, 3}, {4096, 8192, 3, 3, 9}}},
            StepFrame{.step_us = 900,
                      .wait_us = 900,
                      .sequences = 2,
                      .tokens = kStepTokensMax,
                      .drafts = 2,
                      .draft_tokens = 9,
                      .draft_accepted = 9,
                      .model_tokens = 9,
                      .model_accepted = 9,
                      .model_rows = 30,
                      .model_us = 900,
                      .waiting = 1,
                      .pages_used = 4,
                      .pages_total = 4}};
}

Result<Frame> decode(std::span<const std::byte> bytes) {
    const auto header = parse_frame_header(bytes.first(kFrameHeaderBytes));
    if (!header) {
        return header.error();
    }
    const auto payload = bytes.subspan(kFrameHeaderBytes);
    return parse_frame(FrameHeader{header->type, static_cast<uint32_t>(payload.size())}, payload);
}

}  // namespace

TEST_CASE("every frame survives the wire unchanged") {
    for (const Frame& frame : one_of_each()) {
        const auto bytes = encode_frame(frame);
        const auto decoded = decode(bytes);
        REQUIRE(decoded.ok());
        CHECK(decoded->index() == frame.index());
        CHECK(encode_frame(*decoded) == bytes);
    }
}

TEST_CASE("a frame cut anywhere, or with a byte too many, is refused") {
    for (const Frame& frame : one_of_each()) {
        auto bytes = encode_frame(frame);
        for (size_t cut = kFrameHeaderBytes; cut < bytes.size(); ++cut) {
            CHECK_FALSE(decode(std::span(bytes).first(cut)).ok());
        }
        bytes.push_back(std::byte{0});
        CHECK_FALSE(decode(bytes).ok());
    }
}

TEST_CASE("a frame header with an unknown type or an oversized payload is refused") {
    std::vector<std::byte> header(kFrameHeaderBytes);
    const uint32_t unknown = 99;
    std::memcpy(header.data(), &unknown, sizeof(unknown));
    CHECK(parse_frame_header(header).error().code == ErrorCode::kCorrupt);

    const uint32_t tokens_type = 9;
    const uint32_t at_limit = kFrameBytesMax;
    const uint32_t beyond = kFrameBytesMax + 1;
    std::memcpy(header.data(), &tokens_type, sizeof(tokens_type));
    std::memcpy(header.data() + 4, &at_limit, sizeof(at_limit));
    CHECK(parse_frame_header(header).ok());
    std::memcpy(header.data() + 4, &beyond, sizeof(beyond));
    CHECK_FALSE(parse_frame_header(header).ok());
}

TEST_CASE("an enumerator outside its range is refused, not cast") {
    auto bytes = encode_frame(Frame(TokensFrame{.id = 1, .sampled = 1, .finish = Finish::kLength}));
    const size_t finish_at = kFrameHeaderBytes + sizeof(uint64_t) + sizeof(uint32_t);
    REQUIRE(bytes[finish_at] == std::byte{2});
    bytes[finish_at] = std::byte{3};
    CHECK(decode(bytes).error().code == ErrorCode::kCorrupt);
}

TEST_CASE("a request carries so many biases and not one more") {
    SubmitFrame submit{.logit_bias = std::vector<TokenBias>(kLogitBiasMax, TokenBias{1, 2})};
    const auto decoded = decode(encode_frame(submit));
    REQUIRE(decoded.ok());
    CHECK(std::get<SubmitFrame>(*decoded).logit_bias.size() == kLogitBiasMax);
    submit.logit_bias.push_back({1, 2});
    CHECK(decode(encode_frame(submit)).error().code == ErrorCode::kCorrupt);
}

TEST_CASE("a step whose counts contradict each other is refused") {
    const auto accepted = [](const StepFrame& step) { return decode(encode_frame(step)).ok(); };
    CHECK(accepted({}));
    CHECK(accepted({.sequences = 2, .tokens = kStepTokensMax}));
    CHECK_FALSE(accepted({.sequences = 2, .tokens = kStepTokensMax + 1}));
    CHECK_FALSE(accepted({.sequences = 2, .tokens = 1}));
    CHECK(accepted({.sequences = 2, .tokens = 9, .drafts = 2, .draft_tokens = 7}));
    CHECK_FALSE(accepted({.sequences = 2, .tokens = 9, .drafts = 2, .draft_tokens = 8}));
    CHECK_FALSE(accepted({.sequences = 2, .tokens = 9, .drafts = 3, .draft_tokens = 7}));
    CHECK_FALSE(accepted({.sequences = 2, .tokens = 9, .drafts = 2, .draft_tokens = 1}));
    CHECK(accepted(
        {.sequences = 1, .tokens = 4, .drafts = 1, .draft_tokens = 3, .draft_accepted = 3}));
    CHECK_FALSE(accepted(
        {.sequences = 1, .tokens = 4, .drafts = 1, .draft_tokens = 3, .draft_accepted = 4}));
    CHECK(accepted({.pages_used = 3, .pages_total = 3}));
    CHECK_FALSE(accepted({.pages_used = 4, .pages_total = 3}));
    CHECK(accepted({.step_us = 5, .wait_us = 5}));
    CHECK_FALSE(accepted({.step_us = 5, .wait_us = 6}));
}

TEST_CASE("the parts of a first pass follow each other, and are as many as a model can have") {
    const auto accepted = [](const FirstPassFrame& pass) {
        return decode(encode_frame(pass)).ok();
    };
    const std::vector<PartItem> most(kPartsMax, PartItem{0, 1, 5, 5, 5});
    CHECK(accepted({most}));
    auto more = most;
    more.emplace_back(PartItem{0, 1, 5, 5, 5});
    CHECK_FALSE(accepted({more}));
    CHECK_FALSE(accepted({}));
    CHECK_FALSE(accepted({{{0, 1, 2, 1, 3}}}));
    CHECK_FALSE(accepted({{{0, 1, 1, 3, 2}}}));
    CHECK_FALSE(accepted({{{0, 1, 1, 2, 3}, {0, 1, 2, 3, 4}}}));
    CHECK(accepted({{{0, 1, 1, 2, 3}, {0, 1, 3, 3, 3}}}));
    constexpr uint64_t kEnd = std::numeric_limits<uint64_t>::max();
    CHECK(accepted({{{kEnd - 1, 1, 1, 1, 1}}}));
    CHECK_FALSE(accepted({{{kEnd - 1, 2, 1, 1, 1}}}));
}

TEST_CASE("a bench case is taken up to its limits and not beyond") {
    const auto accepted = [](const BenchFrame& bench) { return decode(encode_frame(bench)).ok(); };
    CHECK(accepted({}));
    CHECK(
        accepted({.batch = kBenchBatchMax, .prompt = kBenchTokensMax, .answer = kBenchTokensMax}));
    CHECK_FALSE(accepted({.batch = 0}));
    CHECK_FALSE(accepted({.batch = kBenchBatchMax + 1}));
    CHECK_FALSE(accepted({.prompt = 0}));
    CHECK_FALSE(accepted({.prompt = kBenchTokensMax + 1}));
    CHECK_FALSE(accepted({.answer = kBenchTokensMax + 1}));
}

TEST_CASE("figures that can't be a measurement are refused") {
    const auto accepted = [](const auto& change) {
        BenchedFrame benched = whole_bench();
        change(benched);
        return decode(encode_frame(benched)).ok();
    };
    CHECK(accepted([](BenchedFrame&) {}));
    CHECK_FALSE(accepted([](BenchedFrame& frame) { frame.prefill.nanoseconds = 0; }));
    CHECK_FALSE(accepted([](BenchedFrame& frame) { frame.prefill.tokens = 0; }));
    CHECK_FALSE(accepted([](BenchedFrame& frame) { frame.decode.nanoseconds = 0; }));
    CHECK_FALSE(accepted([](BenchedFrame& frame) { frame.memory_bytes_per_second = 0; }));
    CHECK(accepted([](BenchedFrame& frame) { frame.int8_per_second = 0; }));
    CHECK_FALSE(accepted([](BenchedFrame& frame) { frame.ops[0].nanoseconds = 8; }));
    CHECK_FALSE(accepted([](BenchedFrame& frame) {
        frame.ops[0].nanoseconds = std::numeric_limits<uint64_t>::max();
    }));
    CHECK_FALSE(accepted([](BenchedFrame& frame) { frame.ops[0].name = ""; }));
    CHECK_FALSE(accepted([](BenchedFrame& frame) { frame.ops[0].name = "Down"; }));
    CHECK(accepted(
        [](BenchedFrame& frame) { frame.ops[0].name = std::string(kBenchOpNameBytesMax, 'a'); }));
    CHECK_FALSE(accepted([](BenchedFrame& frame) {
        frame.ops[0].name = std::string(kBenchOpNameBytesMax + 1, 'a');
    }));
    const auto of_ops = [&accepted](size_t count) {
        return accepted([count](BenchedFrame& frame) {
            frame.ops = std::vector<BenchOpItem>(count, BenchOpItem{.name = "down"});
        });
    };
    CHECK(of_ops(kBenchOpsMax));
    CHECK_FALSE(of_ops(kBenchOpsMax + 1));
}

TEST_CASE("a case that could not be measured needs no figures") {
    CHECK(decode(encode_frame(BenchedFrame{.error = "no memory"})).ok());
    CHECK_FALSE(decode(encode_frame(BenchedFrame{})).ok());
}
