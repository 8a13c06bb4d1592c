#include "daemon/instance_check.h"

#include <doctest/doctest.h>

#include <utility>
#include <variant>

using namespace rekindle;
using namespace rekindle::daemon;

namespace {

const CheckKey kHere{"1.0", "avx2", "f16"};
const CheckKey kElsewhere{"0.9", "avx2", "f16"};

TokensFrame answer_with(float logprob) {
    LogprobItem item{.token = 7, .logprob = logprob};
    for (int32_t i = 0; i < 5; ++i) {
        item.top.push_back({.token = 7 + i, .logprob = logprob - static_cast<float>(i)});
    }
    return {.id = InstanceCheck::kSequence, .finish = Finish::kLength, .logprobs = {item, item}};
}

SelfCheck recorded_with(float logprob, const CheckKey& key) {
    CheckAnswer answer;
    answer.add(answer_with(logprob));
    return answer.take(key).value();
}

// A check up to its answer, with one request that waits for it.
struct Fixture {
    void run(CheckMode mode, std::optional<SelfCheck> recorded, float logprob) {
        check.expect(mode);
        CHECK(check.hold(Frame(GoFrame{1, 64})));
        CHECK_FALSE(check.hold(Frame(CancelFrame{1})));
        asked = check.begin(std::move(recorded), kHere, Nanoseconds(5));
        const auto go = check.on_tokenized({.id = 0, .prompt_tokens = 2, .tokens_max = 1});
        REQUIRE(go.has_value());
        CHECK(std::get<GoFrame>(*go).lease == 1);
        CHECK_FALSE(check.over());
        CHECK(check.pending());
        check.on_tokens(answer_with(logprob));
        REQUIRE(check.over());
    }

    InstanceCheck check;
    std::optional<Frame> asked;
};

}  // namespace

TEST_CASE("without a check nothing is held back") {
    InstanceCheck check;
    check.expect(CheckMode::kNone);
    CHECK_FALSE(check.pending());
    CHECK_FALSE(check.hold(Frame(GoFrame{1, 64})));
}

TEST_CASE_FIXTURE(Fixture, "a check that passes lets go of what it held") {
    run(CheckMode::kReplay, recorded_with(-1, kHere), -1);
    CHECK(std::get<SubmitFrame>(*asked).kind == PromptKind::kTokens);
    const auto outcome = check.take();
    REQUIRE(outcome.ok());
    REQUIRE(outcome->held.size() == 1);
    CHECK(std::get<GoFrame>(outcome->held[0]).id == 1);
    CHECK_FALSE(outcome->recorded.has_value());
    CHECK(outcome->begun == Nanoseconds(5));
    CHECK_FALSE(check.pending());
}

TEST_CASE_FIXTURE(Fixture, "a check that fails lets nothing go") {
    run(CheckMode::kReplay, recorded_with(-1, kHere), -1.5F);
    const auto outcome = check.take();
    REQUIRE_FALSE(outcome.ok());
    CHECK(outcome.error().code == ErrorCode::kCorrupt);
    CHECK_FALSE(check.pending());
}

TEST_CASE_FIXTURE(Fixture, "what has no record yet is recorded") {
    run(CheckMode::kReplay, std::nullopt, -1);
    CHECK(std::get<SubmitFrame>(*asked).kind == PromptKind::kText);
    const auto outcome = check.take();
    REQUIRE(outcome.ok());
    REQUIRE(outcome->recorded.has_value());
    CHECK(outcome->recorded->key == kHere);
}

TEST_CASE_FIXTURE(Fixture, "what was recorded by another build is compared, then recorded anew") {
    run(CheckMode::kReplay, recorded_with(-1, kElsewhere), -1.05F);
    const auto outcome = check.take();
    REQUIRE(outcome.ok());
    CHECK(outcome->recorded->key == kHere);
}

TEST_CASE("a worker that refuses the check fails it") {
    InstanceCheck check;
    check.expect(CheckMode::kReplay);
    check.begin(std::nullopt, kHere, {});
    CHECK_FALSE(check.on_tokenized({.id = 0, .code = ErrorCode::kTooLarge, .error = "no room"})
                    .has_value());
    REQUIRE(check.over());
    const Error error = check.take().error();
    CHECK(error.message == "self-check: no room");
    CHECK(error.code == ErrorCode::kUnsupported);  // It could not be recorded.
}

TEST_CASE("frames of a check that nobody asked for change nothing") {
    InstanceCheck check;
    CHECK_FALSE(check.on_tokenized({.id = 0}).has_value());
    check.on_tokens(answer_with(-1));
    CHECK_FALSE(check.over());
}
