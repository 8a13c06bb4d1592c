#include "snapshot/tiers/detail/extent_pool.h"

#include "base/units.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <sys/stat.h>

namespace {

using namespace rekindle;
using snapshot::Extent;
using snapshot::ExtentPool;

constexpr uint64_t kLeast = 4 * kMiB;

uint64_t file_of(const Extent& extent) {
    struct stat facts{};
    REQUIRE(::fstat(extent.fd.get(), &facts) == 0);
    return facts.st_ino;
}

bool zeroed(const Extent& extent) {
    return std::ranges::all_of(extent.mapping.span(), [](std::byte b) { return b == std::byte{}; });
}

// Memory of an image, with its share of the budget.
struct Held {
    ExtentPool::Share share;
    std::vector<Extent> extents;
};

Held hold(ExtentPool& pool, uint64_t bytes) {
    const auto sizes = pool.sizes_for(bytes);
    auto share = pool.reserve(std::accumulate(sizes.begin(), sizes.end(), uint64_t{0}));
    REQUIRE(share.has_value());
    return {.share = std::move(*share), .extents = pool.take(sizes).value()};
}

}  // namespace

TEST_CASE("memory that an image leaves is the next one's, zeroed") {
    ExtentPool pool({.budget_bytes = 64 * kMiB, .kept_bytes = 64 * kMiB});
    uint64_t file = 0;
    {
        Held first = hold(pool, kLeast);
        file = file_of(first.extents[0]);
        std::memset(first.extents[0].mapping.data(), 7, kLeast);
        pool.give_back(std::move(first.extents));
    }
    CHECK(pool.held_bytes() == 0);
    CHECK(pool.free_bytes() == kLeast);
    SUBCASE("at once") {}
    SUBCASE("after it was made ready") {
        pool.wait_until_idle();
    }
    Held second = hold(pool, kLeast);
    CHECK(file_of(second.extents[0]) == file);
    CHECK(zeroed(second.extents[0]));
    CHECK(pool.free_bytes() == 0);
}

TEST_CASE("without keeping, memory goes with its image") {
    ExtentPool pool({.budget_bytes = 64 * kMiB, .extent_bytes = kMiB});
    {
        Held held = hold(pool, 3 * kMiB);
        CHECK(held.extents.size() == 3);
        pool.give_back(std::move(held.extents));
    }
    CHECK(pool.free_bytes() == 0);
    pool.prepare(3 * kMiB);
    pool.wait_until_idle();
    CHECK(pool.free_bytes() == 0);
}

TEST_CASE("no more is kept than was allowed") {
    ExtentPool pool({.budget_bytes = 64 * kMiB, .kept_bytes = 2 * kLeast});
    {
        Held held = hold(pool, 3 * kLeast);
        pool.give_back(std::move(held.extents));
    }
    pool.wait_until_idle();
    CHECK(pool.free_bytes() == 2 * kLeast);
}

TEST_CASE("what an image waits for is kept whatever was allowed") {
    ExtentPool pool({.budget_bytes = 3 * kLeast, .kept_bytes = kLeast});
    std::vector<uint64_t> files;
    {
        Held held = hold(pool, 3 * kLeast);
        CHECK_FALSE(pool.reserve(3 * kLeast).has_value());
        for (const Extent& extent : held.extents) {
            files.push_back(file_of(extent));
        }
        pool.give_back(std::move(held.extents));
    }
    pool.wait_until_idle();
    Held next = hold(pool, 3 * kLeast);
    for (const Extent& extent : next.extents) {
        CHECK(std::ranges::count(files, file_of(extent)) == 1);
    }
    CHECK_FALSE(pool.reserve(kLeast).has_value());
    pool.give_up_reserving();
    pool.give_back(std::move(next.extents));
    pool.wait_until_idle();
    CHECK(pool.free_bytes() == kLeast);
}

TEST_CASE("images and what is kept share one budget") {
    ExtentPool pool({.budget_bytes = 32 * kMiB, .kept_bytes = 32 * kMiB});
    {
        Held small = hold(pool, 4 * kLeast - kPageBytes);
        CHECK(small.extents.size() == 4);
        pool.give_back(std::move(small.extents));
    }
    pool.wait_until_idle();
    CHECK(pool.free_bytes() == 16 * kMiB);
    // Of other sizes, or more than is left beside it: what is kept makes room.
    Held large = hold(pool, 7 * kLeast);
    CHECK(pool.held_bytes() + pool.free_bytes() <= 32 * kMiB);
    CHECK_FALSE(pool.reserve(2 * kLeast).has_value());
    pool.give_up_reserving();
    pool.give_back(std::move(large.extents));
}

TEST_CASE("memory is made ahead, as far as the budget and what may be kept allow") {
    ExtentPool pool({.budget_bytes = 4 * kLeast, .kept_bytes = 2 * kLeast});
    pool.prepare(kLeast);
    pool.wait_until_idle();
    CHECK(pool.free_bytes() == kLeast);
    pool.prepare(3 * kLeast);
    pool.wait_until_idle();
    CHECK(pool.free_bytes() == 2 * kLeast);
    {
        Held held = hold(pool, 3 * kLeast);
        pool.wait_until_idle();
        CHECK(pool.free_bytes() == kLeast);  // The budget has no more.
        pool.give_back(std::move(held.extents));
    }
}

TEST_CASE("the extents of an image are few, and waste less than the least of them") {
    const ExtentPool pool({.budget_bytes = kGiB, .kept_bytes = kGiB});
    for (const uint64_t bytes : {uint64_t{1}, kLeast, kLeast + 1, 92 * kMiB, 255 * kMiB, 4 * kGiB,
                                 5 * kGiB - 1, 100 * kGiB, 400 * kGiB - kPageBytes}) {
        const auto sizes = pool.sizes_for(bytes);
        CHECK(sizes.size() <= 120);
        const uint64_t total = std::accumulate(sizes.begin(), sizes.end(), uint64_t{0});
        CHECK(total >= bytes);
        CHECK(total - bytes < kLeast);
        CHECK(std::ranges::is_sorted(sizes, std::ranges::greater()));
    }
}
