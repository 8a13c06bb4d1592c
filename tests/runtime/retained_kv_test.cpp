#include "base/random.h"
#include "runtime/kv_pages.h"
#include "snapshot/retained/kv_files.h"
#include "snapshot/retained/kv_table.h"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <sys/stat.h>
#include <vector>

using namespace rekindle;  // NOLINT(google-build-using-namespace): a test of two libraries.
using runtime::KvPool;
using runtime::KvSequence;
using runtime::PrefixSalt;
using runtime::TokenId;
using snapshot::KvFiles;
using snapshot::KvTable;

namespace {

constexpr uint64_t kBytes = 4096;
constexpr uint32_t kPages = 16;
constexpr PrefixSalt kAnn{1, 2};
constexpr PrefixSalt kBob{1, 3};

std::vector<TokenId> text(size_t tokens, TokenId first = 0) {
    std::vector<TokenId> out(tokens);
    for (size_t i = 0; i < tokens; ++i) {
        out[i] = first + static_cast<TokenId>(i);
    }
    return out;
}

// What a worker does with the files of a model.
struct Worker {
    explicit Worker(const KvFiles& files, uint8_t build = 1)
        : memory(Mapping::read_write(files.memory_descriptor()->get(), files.bytes()).value()),
          table_memory(
              Mapping::read_write(files.table_descriptor()->get(), files.table_bytes()).value()) {
        KvTable table(table_memory.span());
        snapshot::KvTableKey key{.page_bytes = kBytes, .pages = kPages};
        key.digest[0] = std::byte{build};
        table.open(key);
        pool = std::make_unique<KvPool>(memory.span(), kPages, kBytes, table);
    }

    // Computes `tokens`, each page filled with its first token, and offers them.
    KvSequence compute(const std::vector<TokenId>& tokens, PrefixSalt salt = kAnn) {
        KvSequence sequence(*pool);
        pool->adopt(sequence, {salt, tokens});
        REQUIRE(pool->extend(sequence, static_cast<uint32_t>(tokens.size())));
        for (size_t page = sequence.length() / 32; page < sequence.pages().size(); ++page) {
            *reinterpret_cast<TokenId*>(sequence.pages()[page]) = tokens[page * 32];
        }
        sequence.advance(static_cast<uint32_t>(tokens.size()) - sequence.length());
        pool->publish(sequence, {salt, tokens});
        return sequence;
    }

    uint32_t cached(const std::vector<TokenId>& tokens, PrefixSalt salt = kAnn) {
        KvSequence sequence(*pool);
        const uint32_t count = pool->adopt(sequence, {salt, tokens});
        for (size_t page = 0; page < count / 32; ++page) {
            CHECK(*reinterpret_cast<TokenId*>(sequence.pages()[page]) == tokens[page * 32]);
        }
        return count;
    }

    Mapping memory;
    Mapping table_memory;
    std::unique_ptr<KvPool> pool;
};

KvFiles files() {
    return KvFiles::create(kPages * kBytes).value();
}

uint64_t memory_of(const KvFiles& kept) {
    struct stat facts{};
    const auto descriptor = kept.memory_descriptor();
    REQUIRE(::fstat(descriptor->get(), &facts) == 0);
    return static_cast<uint64_t>(facts.st_blocks) * 512;
}

}  // namespace

TEST_CASE("a later worker goes on with the pages of an earlier one") {
    KvFiles kept = files();
    {
        Worker first(kept);
        static_cast<void>(first.compute(text(100)));
        static_cast<void>(first.compute(text(70, 500), kBob));
    }
    REQUIRE(kept.trim(kPages * kBytes));
    CHECK(kept.retained_pages() == 5);
    CHECK(kept.retained_bytes() == 5 * kBytes);
    Worker second(kept);
    CHECK(second.pool->resting_pages() == 5);
    CHECK(second.pool->free_pages() == kPages);
    CHECK(second.cached(text(100)) == 96);
    CHECK(second.cached(text(70, 500), kBob) == 64);
    CHECK(second.cached(text(70, 500), kAnn) == 0);
}

TEST_CASE("pages of another build, other kernels or another image are forgotten") {
    KvFiles kept = files();
    {
        Worker first(kept, 1);
        static_cast<void>(first.compute(text(100)));
    }
    REQUIRE(kept.trim(kPages * kBytes));
    {
        Worker second(kept, 2);
        CHECK(second.pool->resting_pages() == 0);
        CHECK(second.cached(text(100)) == 0);
    }
    REQUIRE(kept.trim(kPages * kBytes));
    CHECK(kept.retained_pages() == 0);
    CHECK(memory_of(kept) == 0);
}

TEST_CASE("pages that were given out again are not listed, whenever the worker ends") {
    KvFiles kept = files();
    {
        Worker first(kept);
        static_cast<void>(first.compute(text(kPages * 32)));
        KvSequence writing(*first.pool);
        REQUIRE(first.pool->extend(writing, 64));  // Takes the two pages that are worth least.
    }
    REQUIRE(kept.trim(kPages * kBytes));
    CHECK(kept.retained_pages() == kPages - 2);
    Worker second(kept);
    CHECK(second.cached(text(kPages * 32)) == (kPages - 2) * 32);
}

TEST_CASE("trimming keeps beginnings, what was asked for again first, and frees the rest") {
    KvFiles kept = files();
    {
        Worker first(kept);
        static_cast<void>(first.compute(text(65, 1000)));
        CHECK(first.cached(text(65, 1000)) == 64);
        static_cast<void>(first.compute(text(160)));
    }
    CHECK(memory_of(kept) > 4 * kBytes);
    REQUIRE(kept.trim(4 * kBytes + 1));
    CHECK(kept.retained_pages() == 4);
    CHECK(memory_of(kept) == 4 * kBytes);
    Worker second(kept);
    CHECK(second.cached(text(65, 1000)) == 64);
    CHECK(second.cached(text(160)) == 64);
}

TEST_CASE("a table that nobody opened, or that is too short, lists nothing") {
    KvFiles kept = files();
    REQUIRE(kept.trim(kPages * kBytes));
    CHECK(kept.retained_pages() == 0);
    alignas(8) std::array<std::byte, 64> tiny{};
    KvTable table(tiny);
    table.open({.page_bytes = 1, .pages = 1});
    table.put(0, {});
    CHECK_FALSE(table.get(0));
    CHECK_FALSE(table.key());
}

TEST_CASE("whatever a table says, its pool is sound") {
    SeededEntropy random(7);
    for (int round = 0; round < 300; ++round) {
        KvFiles kept = files();
        {
            Worker first(kept);
            static_cast<void>(first.compute(text(200)));
            static_cast<void>(first.compute(text(90, 700), kBob));
        }
        auto table =
            Mapping::read_write(kept.table_descriptor()->get(), kept.table_bytes()).value();
        // Entries of 160 bytes begin at 4096: state and number of the page before, then the rest.
        for (int change = 0; change < 12; ++change) {
            std::array<uint32_t, 3> draw{};
            random.fill(std::as_writable_bytes(std::span(draw)));
            const size_t place = 4096 + draw[0] % kPages * 160 + draw[1] % 8;
            table.data()[place] =
                static_cast<std::byte>(draw[2] % 3 == 0 ? draw[2] >> 8 : draw[2] % kPages);
        }
        Worker second(kept);
        CHECK(second.pool->free_pages() == kPages);
        static_cast<void>(second.compute(text(kPages * 32, 9000)));
        CHECK(second.pool->free_pages() == kPages);
        REQUIRE(kept.trim(5 * kBytes));
        CHECK(kept.retained_pages() <= 5);
    }
}
