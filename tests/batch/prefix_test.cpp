// The prefix cache as the batch uses it: less is computed, and no answer changes by a bit.
#include "runtime/kv_pages.h"
#include "scheduler/batch/batcher.h"
#include "tests/batch/batch_fixture.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <span>
#include <utility>
#include <vector>

using namespace rekindle;  // NOLINT(google-build-using-namespace): a test of one library.
using scheduler::Batcher;
using scheduler::SequenceRequest;
using scheduler::TokenEvent;
using tests::BatchFixture;
using tests::random_prompt;
using tests::run_until_idle;
using tests::tokens_of;

namespace {

constexpr runtime::PrefixSalt kAnn{1, 1};
constexpr runtime::PrefixSalt kBob{2, 2};

struct Run {
    std::vector<TokenEvent> events;
    uint32_t computed = 0;  // Tokens.
};

Run run(Batcher& batcher, SequenceRequest request) {
    request.lease = request.tokens_max;
    REQUIRE(batcher.submit(std::move(request)));
    Run out;
    while (batcher.runnable()) {
        REQUIRE(batcher.step(out.events));
        out.computed += batcher.last_step().tokens;
    }
    return out;
}

SequenceRequest request_of(uint64_t id, std::vector<runtime::TokenId> prompt,
                           runtime::PrefixSalt salt = kAnn) {
    return {.id = id,
            .prompt = std::move(prompt),
            .tokens_max = 12,
            .sampling = {.temperature = 1, .seed = 5},
            .top_logprobs = 5,
            .want_logprobs = true,
            .salt = salt};
}

bool same_bits(const std::vector<TokenEvent>& a, const std::vector<TokenEvent>& b) {
    const auto same = [](const TokenEvent& x, const TokenEvent& y) {
        bool equal = x.token == y.token && x.top.size() == y.top.size() &&
                     std::memcmp(&x.logprob, &y.logprob, sizeof(float)) == 0;
        for (size_t i = 0; equal && i < x.top.size(); ++i) {
            equal = x.top[i].token == y.top[i].token &&
                    std::memcmp(&x.top[i].logprob, &y.top[i].logprob, sizeof(float)) == 0;
        }
        return equal;
    };
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), same);
}

}  // namespace

TEST_CASE("a prompt that was asked before computes its last page alone, with the same bits") {
    BatchFixture fixture;
    Batcher batcher(*fixture.engine, {});
    const auto prompt = random_prompt(150, 1);
    const Run first = run(batcher, request_of(1, prompt));
    const Run again = run(batcher, request_of(2, prompt));

    BatchFixture other;
    Batcher without(*other.engine, {.prefix_cache = false});
    const Run plain = run(without, request_of(3, prompt));
    const Run plain_again = run(without, request_of(4, prompt));

    CHECK(first.computed == 150 + 11);
    CHECK(again.computed == 22 + 11);
    CHECK(plain_again.computed == 150 + 11);
    CHECK(same_bits(first.events, again.events));
    CHECK(same_bits(first.events, plain.events));
    CHECK(fixture.engine->free_pages() == fixture.pages);
}

TEST_CASE(
    "the cache gives the bits that computing gives, however the prompts were cut and packed") {
    const auto system = random_prompt(100, 2);
    BatchFixture fixture({.threads = 2});
    Batcher batcher(*fixture.engine, {.prefill_tokens_max = 37});
    for (uint64_t id = 1; id <= 6; ++id) {
        auto prompt = system;
        const auto own = random_prompt(5 + id * 7, 100 + id);
        prompt.insert(prompt.end(), own.begin(), own.end());
        SequenceRequest request = request_of(id, prompt);
        request.lease = request.tokens_max;
        REQUIRE(batcher.submit(request));
    }
    const auto events = run_until_idle(batcher);
    for (uint64_t id = 1; id <= 6; ++id) {
        auto prompt = system;
        const auto own = random_prompt(5 + id * 7, 100 + id);
        prompt.insert(prompt.end(), own.begin(), own.end());
        BatchFixture alone;
        Batcher without(*alone.engine, {.prefix_cache = false});
        std::vector<TokenEvent> mine;
        std::ranges::copy_if(events, std::back_inserter(mine),
                             [id](const TokenEvent& event) { return event.id == id; });
        CHECK(same_bits(mine, run(without, request_of(id, prompt)).events));
    }
}

TEST_CASE("the next turn of a chat goes on from the answer's pages too") {
    BatchFixture fixture;
    Batcher batcher(*fixture.engine, {});
    SequenceRequest turn = request_of(1, random_prompt(60, 3));
    turn.tokens_max = 70;
    const Run first = run(batcher, turn);
    auto prompt = turn.prompt;
    for (const TokenEvent& event : first.events) {
        prompt.push_back(event.token);
    }
    prompt.push_back(7);
    // 60 + 70: the last token was never computed, so four pages of 32 are full.
    CHECK(fixture.engine->kv_pool().cached_tokens({kAnn, prompt}) == 128);
    const Run second = run(batcher, request_of(2, prompt));
    CHECK(second.computed == 3 + 11);
}

TEST_CASE("tenants do not go on from each other's prompts") {
    BatchFixture fixture;
    Batcher batcher(*fixture.engine, {});
    const auto prompt = random_prompt(150, 1);
    static_cast<void>(run(batcher, request_of(1, prompt, kAnn)));
    CHECK(run(batcher, request_of(2, prompt, kBob)).computed == 150 + 11);
    CHECK(run(batcher, request_of(3, prompt, kAnn)).computed == 22 + 11);
}

TEST_CASE("a prompt whose own log-probabilities are wanted is computed whole") {
    BatchFixture fixture;
    Batcher batcher(*fixture.engine, {});
    const auto prompt = random_prompt(150, 1);
    static_cast<void>(run(batcher, request_of(1, prompt)));
    SequenceRequest echo = request_of(2, prompt);
    echo.prompt_logprobs = true;
    const Run whole = run(batcher, echo);
    CHECK(whole.computed == 150 + 11);
    CHECK(whole.events[0].prompt.size() == 149);
}

TEST_CASE("prompts that begin alike and come together are computed once as far as they do") {
    BatchFixture fixture;
    Batcher batcher(*fixture.engine, {.prefill_tokens_max = 64});
    const auto prompt = random_prompt(160, 4);
    for (uint64_t id = 1; id <= 5; ++id) {
        SequenceRequest request = request_of(id, prompt);
        request.tokens_max = 1;
        request.lease = 1;
        REQUIRE(batcher.submit(request));
    }
    uint32_t computed = 0;
    std::vector<TokenEvent> events;
    while (batcher.runnable()) {
        REQUIRE(batcher.step(events));
        computed += batcher.last_step().tokens;
    }
    CHECK(events.size() == 5);
    CHECK(computed == 160 + 4 * 32);
}

TEST_CASE("cancelling the one that computes a shared prefix lets the next go on with it") {
    BatchFixture fixture;
    Batcher batcher(*fixture.engine, {.prefill_tokens_max = 40});
    const auto prompt = random_prompt(160, 4);
    for (uint64_t id = 1; id <= 3; ++id) {
        SequenceRequest request = request_of(id, prompt);
        request.lease = request.tokens_max;
        REQUIRE(batcher.submit(request));
    }
    std::vector<TokenEvent> events;
    REQUIRE(batcher.step(events));
    batcher.cancel(1);
    const auto rest = run_until_idle(batcher);
    CHECK(tokens_of(rest, 2).size() == 12);
    CHECK(tokens_of(rest, 2) == tokens_of(rest, 3));
    CHECK(fixture.engine->free_pages() == fixture.pages);
}

namespace {

struct Preempted {
    std::vector<TokenEvent> events;
    uint32_t computed = 0;  // Tokens.
};

// Two sequences whose 15 pages don't fit into the pool's 12: the second one stands back.
Preempted run_two_in_a_small_pool(bool prefix_cache) {
    BatchFixture fixture({.kv_pages = 12});
    Batcher batcher(*fixture.engine, {.prefix_cache = prefix_cache});
    for (const auto& [id, prompt] : {std::pair(1U, 150U), std::pair(2U, 100U)}) {
        SequenceRequest request = request_of(id, random_prompt(prompt, id));
        request.tokens_max = 100;
        request.lease = 100;
        REQUIRE(batcher.submit(request));
    }
    Preempted out;
    while (batcher.runnable()) {
        REQUIRE(batcher.step(out.events));
        out.computed += batcher.last_step().tokens;
    }
    return out;
}

}  // namespace

TEST_CASE("a preempted sequence goes on from its own pages, as far as nobody took them") {
    constexpr uint32_t kOnce = 150 + 99 + 100 + 99;
    const Preempted with = run_two_in_a_small_pool(true);
    const Preempted without = run_two_in_a_small_pool(false);
    CHECK(without.computed >= kOnce + 128);  // It had four full pages at least.
    CHECK(with.computed > kOnce);
    CHECK(with.computed <= kOnce + 3 * 32);  // Two pages taken, one never full.
    for (const uint64_t id : {1U, 2U}) {
        CHECK(tokens_of(with.events, id).size() == 100);
        CHECK(tokens_of(with.events, id) == tokens_of(without.events, id));
    }
}
