#include "runtime/thread_pool.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

using rekindle::runtime::ThreadPool;

TEST_CASE("every tile of a region is computed exactly once, with any number of threads") {
    for (const uint32_t threads : {1U, 2U, 5U}) {
        ThreadPool pool(threads);
        for (const uint32_t tiles : {0U, 1U, 2U, 7U, 100U}) {
            std::vector<std::atomic<uint32_t>> calls(tiles);
            pool.parallel_for(tiles, [&](uint32_t tile) { calls[tile].fetch_add(1); });
            for (const auto& count : calls) {
                CHECK(count.load() == 1);
            }
        }
    }
}

TEST_CASE("a region's writes are seen after it, over thousands of short regions") {
    ThreadPool pool(3);
    std::vector<uint64_t> sums(16);
    for (uint64_t region = 0; region < 20'000; ++region) {
        // Written without atomics: a tile of one region that ran in the next would lose an
        // addition.
        pool.parallel_for(16, [&](uint32_t tile) { sums[tile] += region; });
    }
    for (const uint64_t sum : sums) {
        CHECK(sum == uint64_t{20'000} * 19'999 / 2);
    }
}

TEST_CASE("pools start and stop, used or not") {
    for (int i = 0; i < 50; ++i) {
        ThreadPool pool(4);
        if (i % 2 == 0) {
            std::atomic<uint32_t> tiles_done = 0;
            pool.parallel_for(3, [&](uint32_t) { tiles_done.fetch_add(1); });
            CHECK(tiles_done.load() == 3);
        }
    }
}

TEST_CASE("fewer threads may work than the pool has, and all again") {
    ThreadPool pool(3);
    CHECK(pool.threads() == 3);
    for (const uint32_t threads : {1U, 3U, 2U, 1U, 9U}) {
        pool.set_threads(threads);
        CHECK(pool.threads() == std::min(threads, 3U));
        std::vector<std::atomic<uint32_t>> calls(50);
        std::set<std::thread::id> workers;
        std::mutex mutex;
        for (int region = 0; region < 100; ++region) {
            pool.begin_step();
            pool.parallel_for(50, [&](uint32_t tile) {
                calls[tile].fetch_add(1);
                const std::scoped_lock lock(mutex);
                workers.insert(std::this_thread::get_id());
            });
            pool.end_step();
        }
        for (const auto& count : calls) {
            CHECK(count.load() == 100);
        }
        if (threads == 1) {
            CHECK(workers == std::set{std::this_thread::get_id()});
        }
    }
}
