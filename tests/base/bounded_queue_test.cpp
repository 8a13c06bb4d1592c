#include "base/bounded_queue.h"

#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

using namespace rekindle;  // NOLINT(google-build-using-namespace): a test.

TEST_CASE("a queue takes as many as it holds, and gives them in order") {
    BoundedQueue<int> queue(2);
    CHECK(queue.try_push(1));
    CHECK(queue.try_push(2));
    CHECK_FALSE(queue.try_push(3));
    CHECK(queue.size() == 2);
    CHECK(queue.try_pop() == 1);
    CHECK(queue.try_push(3));
    CHECK(queue.pop() == 2);
    CHECK(queue.pop() == 3);
    CHECK(queue.try_pop() == std::nullopt);
}

TEST_CASE("a closed queue gives what it holds and takes nothing") {
    BoundedQueue<std::unique_ptr<int>> queue(2);
    CHECK(queue.push(std::make_unique<int>(1)));
    queue.close();
    queue.close();
    CHECK(queue.closed());
    CHECK_FALSE(queue.push(std::make_unique<int>(2)));
    CHECK_FALSE(queue.try_push(std::make_unique<int>(2)));
    const auto last = queue.pop();
    REQUIRE(last.has_value());
    CHECK(**last == 1);
    CHECK_FALSE(queue.pop().has_value());
    CHECK_FALSE(queue.pop_for(std::chrono::hours(1)).has_value());
}

TEST_CASE("a wait with a limit ends without an item") {
    BoundedQueue<int> queue(1);
    CHECK(queue.pop_for(std::chrono::nanoseconds(1)) == std::nullopt);
    CHECK(queue.try_push(5));
    CHECK(queue.pop_for(std::chrono::hours(1)) == 5);
}

TEST_CASE("closing wakes everyone who waits for an item or for room") {
    BoundedQueue<int> empty(1);
    BoundedQueue<int> full(1);
    REQUIRE(full.try_push(1));
    std::atomic<int> woken = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
        threads.emplace_back([&] { woken += empty.pop().has_value() ? 0 : 1; });
        threads.emplace_back([&] { woken += full.push(2) ? 0 : 1; });
    }
    empty.close();
    full.close();
    for (std::thread& thread : threads) {
        thread.join();
    }
    CHECK(woken == 6);
}

TEST_CASE("many producers and consumers lose and double nothing") {
    constexpr int kThreads = 4;
    constexpr int kItems = 5000;
    BoundedQueue<int> queue(7);
    std::vector<std::atomic<int>> seen(kThreads * kItems);
    std::vector<std::thread> producers;
    std::vector<std::thread> consumers;
    for (int t = 0; t < kThreads; ++t) {
        producers.emplace_back([&, t] {
            for (int i = 0; i < kItems; ++i) {
                static_cast<void>(queue.push(t * kItems + i));
            }
        });
        consumers.emplace_back([&] {
            while (const auto item = queue.pop()) {
                ++seen[static_cast<size_t>(*item)];
            }
        });
    }
    for (std::thread& thread : producers) {
        thread.join();
    }
    queue.close();
    for (std::thread& thread : consumers) {
        thread.join();
    }
    int wrong = 0;
    for (const auto& count : seen) {
        wrong += count == 1 ? 0 : 1;
    }
    CHECK(wrong == 0);
}
