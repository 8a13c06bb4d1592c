#include "base/random.h"
#include "runtime/kv_pages.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

using namespace rekindle;  // NOLINT(google-build-using-namespace): a test of one library.
using runtime::KvPool;
using runtime::KvSequence;
using runtime::PrefixSalt;
using runtime::TokenId;

namespace {

constexpr uint64_t kBytes = 64;
constexpr PrefixSalt kAnn{1, 2};
constexpr PrefixSalt kBob{1, 3};

struct Pool {
    explicit Pool(uint32_t pages) : memory(pages * kBytes), pool(memory, pages, kBytes) {}

    std::vector<std::byte> memory;
    KvPool pool;
};

std::vector<TokenId> text(size_t tokens, TokenId first = 0) {
    std::vector<TokenId> out(tokens);
    for (size_t i = 0; i < tokens; ++i) {
        out[i] = first + static_cast<TokenId>(i);
    }
    return out;
}

// A sequence that computed `tokens` and offers them.
KvSequence computed(KvPool& pool, const std::vector<TokenId>& tokens, PrefixSalt salt = kAnn) {
    KvSequence sequence(pool);
    pool.adopt(sequence, {salt, tokens});
    REQUIRE(pool.extend(sequence, static_cast<uint32_t>(tokens.size())));
    sequence.advance(static_cast<uint32_t>(tokens.size()) - sequence.length());
    pool.publish(sequence, {salt, tokens});
    return sequence;
}

}  // namespace

TEST_CASE("a text that begins as an earlier one goes on from its full pages") {
    Pool fixture(8);
    KvPool& pool = fixture.pool;
    std::vector<std::byte*> first;
    {
        const KvSequence sequence = computed(pool, text(70));
        first.assign(sequence.pages().begin(), sequence.pages().end());
        CHECK(sequence.published() == 2);
    }
    CHECK(pool.free_pages() == 8);
    CHECK(pool.resting_pages() == 2);

    std::vector<TokenId> longer = text(66);
    longer.push_back(999);
    KvSequence second(pool);
    CHECK(pool.adopt(second, {kAnn, longer}) == 64);

    CHECK(second.length() == 64);
    CHECK(std::ranges::equal(second.pages(), std::span(first).first(2)));
    CHECK(pool.free_pages() == 6);
    CHECK(pool.resting_pages() == 0);
}

TEST_CASE("the last token of a text is never taken from the cache") {
    Pool fixture(8);
    const KvSequence held = computed(fixture.pool, text(96));
    CHECK(fixture.pool.cached_tokens({kAnn, text(96)}) == 64);
    CHECK(fixture.pool.cached_tokens({kAnn, text(97)}) == 96);
    CHECK(fixture.pool.cached_tokens({kAnn, text(33)}) == 32);
    CHECK(fixture.pool.cached_tokens({kAnn, text(32)}) == 0);
    CHECK(fixture.pool.cached_tokens({kAnn, text(1)}) == 0);
    CHECK(fixture.pool.cached_tokens({kAnn, {}}) == 0);
}

TEST_CASE("another tenant's text, or one that differs in a token, is not found") {
    Pool fixture(8);
    const KvSequence held = computed(fixture.pool, text(96));
    CHECK(fixture.pool.cached_tokens({kBob, text(97)}) == 0);
    std::vector<TokenId> other = text(97);
    other[0] = 7;
    CHECK(fixture.pool.cached_tokens({kAnn, other}) == 0);
    other = text(97);
    other[63] = 7;
    CHECK(fixture.pool.cached_tokens({kAnn, other}) == 32);
    // The second page's tokens at the beginning of a text are another text.
    CHECK(fixture.pool.cached_tokens({kAnn, text(65, 32)}) == 0);
}

TEST_CASE("sequences that hold one page give it back once each, and nobody's stays") {
    Pool fixture(8);
    KvPool& pool = fixture.pool;
    std::optional<KvSequence> first(computed(pool, text(64)));
    std::optional<KvSequence> second(computed(pool, text(80)));
    CHECK(first->pages()[0] == second->pages()[0]);
    CHECK(first->pages()[1] == second->pages()[1]);
    CHECK(pool.free_pages() == 5);
    first.reset();
    CHECK(pool.free_pages() == 5);
    CHECK(pool.resting_pages() == 0);
    second.reset();
    CHECK(pool.free_pages() == 8);
    CHECK(pool.resting_pages() == 2);
}

TEST_CASE("what two sequences computed at the same time is kept once") {
    Pool fixture(8);
    KvPool& pool = fixture.pool;
    KvSequence first(pool);
    KvSequence second(pool);
    for (KvSequence* sequence : {&first, &second}) {
        REQUIRE(pool.extend(*sequence, 64));
        sequence->advance(64);
    }
    CHECK(pool.free_pages() == 4);
    pool.publish(first, {kAnn, text(64)});
    pool.publish(second, {kAnn, text(64)});
    CHECK(pool.free_pages() == 6);
    CHECK(std::ranges::equal(first.pages(), second.pages()));
}

TEST_CASE("a sequence that reserved pages gives them back for those of others") {
    Pool fixture(8);
    KvPool& pool = fixture.pool;
    KvSequence late(pool);
    REQUIRE(pool.extend(late, 80));
    const KvSequence early = computed(pool, text(64));
    CHECK(pool.free_pages() == 3);
    CHECK(pool.adopt(late, {kAnn, text(80)}) == 64);
    CHECK(pool.free_pages() == 5);
    CHECK(late.pages().size() == 3);
    CHECK(late.pages()[1] == early.pages()[1]);
    late.advance(16);
}

TEST_CASE("texts make room for new ones: the longest unused first, its end before its beginning") {
    Pool fixture(6);
    KvPool& pool = fixture.pool;
    static_cast<void>(computed(pool, text(96)));
    static_cast<void>(computed(pool, text(96, 1000)));
    CHECK(pool.resting_pages() == 6);
    CHECK(pool.cached_tokens({kAnn, text(97)}) == 96);  // Used just now.
    {
        KvSequence other(pool);
        REQUIRE(pool.extend(other, 64));
        CHECK(pool.cached_tokens({kAnn, text(97, 1000)}) == 32);
        CHECK(pool.cached_tokens({kAnn, text(97)}) == 96);
        REQUIRE(pool.extend(other, 128));
        CHECK(pool.cached_tokens({kAnn, text(97, 1000)}) == 0);
        CHECK(pool.cached_tokens({kAnn, text(97)}) == 64);
        REQUIRE(pool.extend(other, 192));
        CHECK(pool.cached_tokens({kAnn, text(97)}) == 0);
        const auto refused = pool.extend(other, 193);
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == ErrorCode::kResourceExhausted);
    }
    CHECK(pool.free_pages() == 6);
    CHECK(pool.resting_pages() == 0);
}

TEST_CASE("a text that was asked for again outlives newer ones that were not, to a quarter") {
    Pool fixture(16);
    KvPool& pool = fixture.pool;
    static_cast<void>(computed(pool, text(160)));
    static_cast<void>(computed(pool, text(161)));  // Five pages again, of which four are kept.
    for (TokenId other = 1; other <= 20; ++other) {
        static_cast<void>(computed(pool, text(96, 1000 * other)));
    }
    CHECK(pool.cached_tokens({kAnn, text(161)}) == 128);
    CHECK(pool.cached_tokens({kAnn, text(97, 20'000)}) == 96);
    CHECK(pool.cached_tokens({kAnn, text(97, 1000)}) == 0);
    CHECK(pool.resting_pages() == 16);
}

TEST_CASE("pages that a sequence holds are never taken for room") {
    Pool fixture(4);
    KvPool& pool = fixture.pool;
    static_cast<void>(computed(pool, text(96)));
    KvSequence holder(pool);
    CHECK(pool.adopt(holder, {kAnn, text(65)}) == 64);
    KvSequence other(pool);
    CHECK_FALSE(pool.extend(other, 96));
    REQUIRE(pool.extend(other, 64));
    CHECK(pool.cached_tokens({kAnn, text(97)}) == 64);
}

// Against a model that knows no pages: every page is counted, and a hit is a text that was
// computed.
TEST_CASE("under random use no page is lost and every hit was computed before") {
    for (uint64_t seed = 1; seed <= 20; ++seed) {
        CAPTURE(seed);
        Pool fixture(24);
        KvPool& pool = fixture.pool;
        std::vector<std::pair<PrefixSalt, std::vector<TokenId>>> known;
        std::vector<KvSequence> held;
        uint64_t draws = 0;
        const auto pick = [&](uint64_t below) { return counter_random(seed, 9, draws++) % below; };
        for (int i = 0; i < 400; ++i) {
            // Few first pages, so that many texts begin alike.
            std::vector<TokenId> tokens = text(32 * (1 + pick(2)), static_cast<TokenId>(pick(3)));
            for (uint64_t more = pick(100); more > 0; --more) {
                tokens.push_back(static_cast<TokenId>(pick(2)));
            }
            const PrefixSalt salt = pick(2) == 0 ? kAnn : kBob;
            KvSequence sequence(pool);
            const uint32_t cached = pool.adopt(sequence, {salt, tokens});
            const bool was_computed =
                cached == 0 || std::ranges::any_of(known, [&](const auto& entry) {
                    return entry.first == salt && entry.second.size() >= cached &&
                           std::equal(tokens.begin(), tokens.begin() + cached,
                                      entry.second.begin());
                });
            CHECK(was_computed);
            if (pool.extend(sequence, static_cast<uint32_t>(tokens.size()))) {
                sequence.advance(static_cast<uint32_t>(tokens.size()) - sequence.length());
                pool.publish(sequence, {salt, tokens});
                known.emplace_back(salt, tokens);
                held.push_back(std::move(sequence));
            }
            while (!held.empty() && pick(3) != 0) {
                std::swap(held[pick(held.size())], held.back());
                held.pop_back();
            }
        }
        held.clear();
        CHECK(pool.free_pages() == 24);
    }
}
