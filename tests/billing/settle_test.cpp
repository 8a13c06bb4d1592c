#include "base/random.h"
#include "tests/billing/billing_fixture.h"

#include <doctest/doctest.h>

#include <algorithm>

using namespace rekindle;           // NOLINT(google-build-using-namespace): a test.
using namespace rekindle::billing;  // NOLINT(google-build-using-namespace): a test.

TEST_CASE("a completed answer pays its prompt and every token, cached ones at their price") {
    const UsageFinal usage = settle(facts_of(1), Outcome::kCompleted, 7, 7, true);

    CHECK(usage.billed_prompt == 100);
    CHECK(usage.billed_cached == 20);
    CHECK(usage.billed_completion == 7);
    CHECK(usage.forgiven_tokens == 0);
    CHECK(usage.cost == 80 * 1000 + 20 * 100 + 7 * 3000);
}

TEST_CASE("a client that leaves pays what was delivered, not what was sampled") {
    const UsageFinal usage = settle(facts_of(1), Outcome::kDisconnected, 9, 4, true);

    CHECK(usage.billed_prompt == 100);
    CHECK(usage.billed_completion == 4);
    CHECK(usage.completion_tokens == 9);
    CHECK(usage.delivered_tokens == 4);
    CHECK(usage.forgiven_tokens == 0);
}

TEST_CASE("a client that leaves before the prompt was computed pays nothing") {
    const UsageFinal usage = settle(facts_of(1), Outcome::kDisconnected, 0, 0, false);

    CHECK(usage.billed_prompt == 0);
    CHECK(usage.billed_cached == 0);
    CHECK(usage.cost == 0);
}

TEST_CASE("an abandoned whole answer pays its prompt once prefill began, and no tokens") {
    RequestFacts facts = facts_of(1);
    facts.streamed = false;

    const UsageFinal before = settle(facts, Outcome::kDisconnected, 0, 0, false);
    const UsageFinal after = settle(facts, Outcome::kDisconnected, 12, 12, true);

    CHECK(before.cost == 0);
    CHECK(after.billed_prompt == 100);
    CHECK(after.billed_completion == 0);
}

TEST_CASE("an answer that we broke pays nothing; what the client got is recorded as forgiven") {
    const UsageFinal usage = settle(facts_of(1), Outcome::kFailed, 9, 4, true);

    CHECK(usage.billed_prompt == 0);
    CHECK(usage.billed_completion == 0);
    CHECK(usage.cost == 0);
    CHECK(usage.forgiven_tokens == 4);
}

TEST_CASE("after a crash the last mark is paid, and nothing when nothing was delivered") {
    const UsageFinal marked = settle(facts_of(1), Outcome::kCrashed, 5, 5, true);
    const UsageFinal silent = settle(facts_of(1), Outcome::kCrashed, 0, 0, true);
    const UsageFinal unmarked = settle(facts_of(1), Outcome::kCrashed, 0, 0, false);

    CHECK(marked.billed_prompt == 100);
    CHECK(marked.billed_completion == 5);
    CHECK(silent.cost == 0);
    CHECK(unmarked.cost == 0);
}

TEST_CASE("whatever happens: billed never exceeds delivered, and cost is billed times price") {
    for (uint64_t i = 0; i < 20'000; ++i) {
        const auto random = [i](uint64_t stream, uint64_t below) {
            return static_cast<uint32_t>(counter_random(20, stream, i) % below);
        };
        RequestFacts facts = facts_of(i);
        facts.prompt_tokens = random(0, 1U << 20);
        facts.cached_tokens = std::min(random(1, 1U << 20), facts.prompt_tokens);
        facts.price_input = random(2, 1'000'000'000);
        facts.price_cached = random(3, 1'000'000'000);
        facts.price_output = random(4, 1'000'000'000);
        facts.streamed = random(5, 2) == 1;
        const uint32_t completion = random(6, 1U << 20);
        const uint32_t delivered = std::min(random(7, 1U << 20), completion);
        const auto outcome = static_cast<Outcome>(1 + random(8, 4));

        const UsageFinal usage = settle(facts, outcome, completion, delivered, random(9, 2) == 1);

        REQUIRE(usage.billed_completion <= usage.delivered_tokens);
        REQUIRE((usage.billed_prompt == 0 || usage.billed_prompt == facts.prompt_tokens));
        REQUIRE(usage.billed_cached <= usage.billed_prompt);
        REQUIRE(usage.billed_completion + usage.forgiven_tokens <= delivered);
        REQUIRE(usage.cost == price_of(usage));
        REQUIRE(usage.cost >= 0);
        REQUIRE(check_final(usage).ok());
        if (outcome == Outcome::kFailed) {
            REQUIRE(usage.cost == 0);
        }
    }
}

TEST_CASE("a final record that the rules do not give is refused") {
    UsageFinal overbilled = final_of(1, Outcome::kDisconnected, 9, 4);
    overbilled.billed_completion = 5;
    overbilled.cost = price_of(overbilled);
    UsageFinal mispriced = final_of(1, Outcome::kCompleted, 9, 9);
    mispriced.cost += 1;
    UsageFinal open = final_of(1, Outcome::kCompleted, 9, 9);
    open.outcome = Outcome::kOpen;

    CHECK(check_final(overbilled).error().code == ErrorCode::kInvalidArgument);
    CHECK(check_final(mispriced).error().code == ErrorCode::kInvalidArgument);
    CHECK(check_final(open).error().code == ErrorCode::kInvalidArgument);
    CHECK(check_final(final_of(1, Outcome::kCompleted, 9, 9)).ok());
}

TEST_CASE("names of a record have a limit") {
    RequestFacts facts = facts_of(1);
    facts.project = std::string(kLedgerNameBytesMax, 'p');
    CHECK(check_facts(facts).ok());
    facts.project += 'p';
    CHECK(check_facts(facts).error().code == ErrorCode::kInvalidArgument);
    facts.project.clear();
    CHECK(check_facts(facts).error().code == ErrorCode::kInvalidArgument);
}

TEST_CASE("a request id reads back as it was written, and only so") {
    ManualClock clock;
    SeededEntropy entropy(7);
    const RequestId first = RequestId::make(clock, entropy);
    clock.advance(std::chrono::milliseconds(1));
    const RequestId second = RequestId::make(clock, entropy);

    CHECK(first < second);
    CHECK(first.text().size() == 36);
    CHECK(*RequestId::parse(first.text()) == first);
    CHECK_FALSE(RequestId::parse("req_").ok());
    CHECK_FALSE(RequestId::parse("req_" + std::string(31, 'a')).ok());
    CHECK_FALSE(RequestId::parse("req_" + std::string(33, 'a')).ok());
    CHECK_FALSE(RequestId::parse("req_" + std::string(32, 'A')).ok());
    CHECK_FALSE(RequestId::parse("rex_" + std::string(32, 'a')).ok());
}

TEST_CASE("128-bit amounts hold what 64 bits cannot") {
    RequestFacts facts = facts_of(1);
    facts.prompt_tokens = UINT32_MAX;
    facts.cached_tokens = 0;
    facts.price_input = 999'999'999'999'999;  // The dearest price that parses.

    const UsageFinal usage = settle(facts, Outcome::kCompleted, 0, 0, true);

    CHECK(usage.cost == PicoAmount{UINT32_MAX} * 999'999'999'999'999);
    CHECK(usage.cost > PicoAmount{INT64_MAX});
}
