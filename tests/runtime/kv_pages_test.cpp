#include "runtime/kv_pages.h"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <set>
#include <utility>
#include <vector>

using rekindle::ErrorCode;
using rekindle::runtime::KvPool;
using rekindle::runtime::KvSequence;

namespace {

constexpr uint32_t kPages = 4;
constexpr uint64_t kBytes = 64;

}  // namespace

TEST_CASE("a sequence gets a page for every 32 positions, and gives all back at its end") {
    std::vector<std::byte> memory(kPages * kBytes);
    KvPool pool(memory, kPages, kBytes);
    {
        KvSequence sequence(pool);
        REQUIRE(pool.extend(sequence, 32));
        CHECK(pool.free_pages() == 3);
        REQUIRE(pool.extend(sequence, 33));
        CHECK(pool.free_pages() == 2);
        CHECK(sequence.capacity() == 64);
        REQUIRE(pool.extend(sequence, 10));
        CHECK(pool.free_pages() == 2);
    }
    CHECK(pool.free_pages() == kPages);
}

TEST_CASE("when pages run out none is taken and the error has the numbers") {
    std::vector<std::byte> memory(kPages * kBytes);
    KvPool pool(memory, kPages, kBytes);
    KvSequence first(pool);
    REQUIRE(pool.extend(first, 96));
    KvSequence second(pool);

    const auto refused = pool.extend(second, 64);

    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::kResourceExhausted);
    CHECK(refused.error().message ==
          "KV cache: 2 more pages are needed for 64 positions, 1 of 4 are free");
    CHECK(pool.free_pages() == 1);
    CHECK(second.pages().empty());
    CHECK(pool.extend(second, 32));
}

TEST_CASE("two sequences never share a page") {
    std::vector<std::byte> memory(kPages * kBytes);
    KvPool pool(memory, kPages, kBytes);
    KvSequence first(pool);
    KvSequence second(pool);
    REQUIRE(pool.extend(first, 40));
    REQUIRE(pool.extend(second, 40));

    std::set<std::byte*> pages(first.pages().begin(), first.pages().end());
    pages.insert(second.pages().begin(), second.pages().end());

    CHECK(pages.size() == kPages);
    for (const std::byte* page : pages) {
        CHECK((page - memory.data()) % static_cast<ptrdiff_t>(kBytes) == 0);
    }
}

TEST_CASE("moving a sequence moves its pages; releasing starts it again") {
    std::vector<std::byte> memory(kPages * kBytes);
    KvPool pool(memory, kPages, kBytes);
    KvSequence first(pool);
    REQUIRE(pool.extend(first, 40));
    first.advance(40);

    KvSequence second(std::move(first));

    CHECK(second.length() == 40);
    CHECK(pool.free_pages() == 2);
    second.release();
    CHECK(second.length() == 0);
    CHECK(pool.free_pages() == kPages);
}
