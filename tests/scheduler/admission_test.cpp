#include "scheduler/admit/admission_gate.h"

#include <doctest/doctest.h>

#include <utility>
#include <vector>

using namespace rekindle;             // NOLINT(google-build-using-namespace): a test.
using namespace rekindle::scheduler;  // NOLINT(google-build-using-namespace): a test.

namespace {

Arrival arrival(const char* model) {
    return {.model = model};
}

}  // namespace

TEST_CASE("each model has its limit, and the node one over all; a pass that goes makes room") {
    ManualClock clock;
    AdmissionGate gate({.model_requests_max = 2, .node_requests_max = 3}, clock);
    auto first = gate.enter(arrival("a"));
    std::vector<AdmissionGate::Pass> passes;
    passes.push_back(std::move(gate.enter(arrival("a"))).value());

    CHECK(gate.enter(arrival("a")).error().code == ErrorCode::kOverloaded);
    passes.push_back(std::move(gate.enter(arrival("b"))).value());
    CHECK(gate.enter(arrival("b")).error().code == ErrorCode::kOverloaded);
    CHECK(gate.inside() == 3);
    CHECK(gate.inside("a") == 2);
    passes.pop_back();
    CHECK(gate.inside("b") == 0);
    CHECK(gate.enter(arrival("b")).ok());
}

TEST_CASE("a refusal says whose limit it was and when to come back") {
    ManualClock clock;
    AdmissionGate gate({.model_requests_max = 1, .node_requests_max = 9}, clock);
    const auto pass = gate.enter(arrival("smol"));

    const auto refused = gate.enter(arrival("smol"));

    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().message == "smol has 1 requests inside, its limit: try again in 1 s");
}

TEST_CASE("the hint to come back follows how long requests take, from 1 s to 30 s") {
    ManualClock clock;
    AdmissionGate gate({}, clock);
    const auto stay = [&](std::chrono::seconds time) {
        const auto pass = gate.enter(arrival("a"));
        clock.advance(time);
    };
    CHECK(gate.retry_after("a") == std::chrono::seconds(1));
    stay(std::chrono::seconds(12));
    const auto running = gate.enter(arrival("a"));
    CHECK(gate.retry_after("a") == std::chrono::seconds(12));
    const auto second = gate.enter(arrival("a"));
    CHECK(gate.retry_after("a") == std::chrono::seconds(6));
    stay(std::chrono::seconds(5000));
    CHECK(gate.retry_after("a") == std::chrono::seconds(30));
    CHECK(gate.retry_after("never called") == std::chrono::seconds(1));
}

TEST_CASE("a prompt is refused only when no tokenizer could make it fit") {
    ManualClock clock;
    AdmissionGate gate({}, clock);
    Arrival text{.model = "a", .prompt_bytes = 100 * kTokenTextBytesMax, .context_max = 100};
    CHECK(gate.enter(text).ok());
    text.prompt_bytes = 101 * kTokenTextBytesMax;
    CHECK(gate.enter(text).error().code == ErrorCode::kTooLarge);
    text.context_max = 0;  // Not known: the worker decides.
    CHECK(gate.enter(text).ok());

    Arrival tokens{.model = "a", .prompt_tokens = 100, .context_max = 100};
    CHECK(gate.enter(tokens).ok());
    tokens.prompt_tokens = 101;
    CHECK(gate.enter(tokens).error().code == ErrorCode::kTooLarge);
}

TEST_CASE("while draining nothing enters, and what is inside ends in its own time") {
    ManualClock clock;
    AdmissionGate gate({}, clock);
    {
        const auto pass = gate.enter(arrival("a"));
        gate.drain();
        CHECK(gate.draining());
        CHECK(gate.enter(arrival("a")).error().code == ErrorCode::kUnavailable);
        CHECK(gate.inside() == 1);
    }
    CHECK(gate.inside() == 0);
}

TEST_CASE("models that are gone are forgotten, those with requests never") {
    ManualClock clock;
    AdmissionGate gate({}, clock);
    const auto kept = gate.enter(arrival("kept"));
    for (int i = 0; i < 10'000; ++i) {
        REQUIRE(gate.enter({.model = std::to_string(i)}).ok());
    }
    CHECK(gate.inside("kept") == 1);
    CHECK(gate.inside() == 1);
}

TEST_CASE("a deployment may have a limit of its own, below or above the gate's") {
    ManualClock clock;
    AdmissionGate gate({.model_requests_max = 2, .node_requests_max = 9}, clock);
    std::vector<AdmissionGate::Pass> passes;
    const auto enter = [&](uint32_t requests_max) {
        auto pass = gate.enter({.model = "a", .requests_max = requests_max});
        if (pass) {
            passes.push_back(std::move(pass).value());
        }
        return pass.ok();
    };

    CHECK(enter(1));
    CHECK_FALSE(enter(1));
    CHECK(enter(3));
    CHECK_FALSE(enter(0));
    CHECK(enter(3));
    CHECK_FALSE(enter(3));
}
