// base/async under real io threads: nothing here sleeps; threads meet in promises and gates.
#include "base/async/event.h"
#include "base/async/gate.h"
#include "base/async/io_thread.h"
#include "base/async/offload.h"
#include "base/async/spawn.h"

#include <boost/asio/post.hpp>
#include <doctest/doctest.h>

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

using namespace rekindle;  // NOLINT(google-build-using-namespace): a test.

namespace {

// What a coroutine of these tests works on; outlives the gate's close.
struct Shared {
    explicit Shared(asio::io_context& context) : gate(context), event(context) {}

    Gate gate;
    Event event;
    bool ready = false;
    int started = 0;
    int ended = 0;
};

Task<> wait_until_ready(Shared& shared) {
    ++shared.started;
    while (!shared.ready) {
        co_await shared.event.wait();
    }
    ++shared.ended;
}

Task<> close_gate(Shared& shared, std::promise<int>& closed) {
    co_await shared.gate.close();
    closed.set_value(shared.ended);
}

// Runs `work` on the io thread and waits for it.
template <typename Work>
    requires std::is_invocable_v<Work>
void on_thread(IoThread& thread, Work work) {
    std::promise<void> done;
    asio::post(thread.context(), [&] {
        work();
        done.set_value();
    });
    done.get_future().get();
}

}  // namespace

TEST_CASE("work runs on the io thread it was posted to, and the thread ends with its work") {
    IoThread thread("io-test");
    std::promise<bool> there;
    asio::post(thread.context(), [&] { there.set_value(thread.on_this_thread()); });
    CHECK(there.get_future().get());
    CHECK_FALSE(thread.on_this_thread());
    std::atomic<int> ran = 0;
    for (int i = 0; i < 100; ++i) {
        asio::post(thread.context(), [&ran] { ++ran; });
    }
    thread.request_stop();
    thread.request_stop();
    thread.join();
    CHECK(ran == 100);  // What was posted before is done, not dropped.
}

TEST_CASE("a gate closes when the last coroutine inside has ended, and not before") {
    IoThread thread("io-test");
    auto shared = std::make_unique<Shared>(thread.context());
    std::promise<int> closed;
    auto future = closed.get_future();
    Gate root(thread.context());
    on_thread(thread, [&] {
        for (int i = 0; i < 3; ++i) {
            CHECK(spawn(thread.context(), "waiter", shared->gate, wait_until_ready(*shared)));
        }
        CHECK(shared->gate.count() == 3);
        CHECK(spawn(thread.context(), "closer", root, close_gate(*shared, closed)));
    });
    on_thread(thread, [&] {
        CHECK(shared->gate.closing());
        CHECK(shared->started == 3);
        CHECK(shared->ended == 0);
        CHECK_FALSE(shared->gate.enter().has_value());
        CHECK_FALSE(spawn(thread.context(), "late", shared->gate, wait_until_ready(*shared)));
        shared->ready = true;
        shared->event.notify();
    });
    CHECK(future.get() == 3);
    on_thread(thread, [&] {
        CHECK(shared->gate.count() == 0);
        CHECK(shared->started == 3);
        shared.reset();
    });
}

TEST_CASE("a gate without anyone inside closes at once") {
    IoThread thread("io-test");
    Shared shared(thread.context());
    Gate root(thread.context());
    std::promise<int> closed;
    auto future = closed.get_future();
    on_thread(thread,
              [&] { CHECK(spawn(thread.context(), "closer", root, close_gate(shared, closed))); });
    CHECK(future.get() == 0);
    thread.request_stop();
    thread.join();
}

TEST_CASE("a pass that is moved is given back once") {
    asio::io_context context;
    Gate gate(context);
    {
        auto pass = gate.enter();
        REQUIRE(pass.has_value());
        const Gate::Pass moved = std::move(*pass);
        CHECK(gate.count() == 1);
        pass.reset();
        CHECK(gate.count() == 1);
    }
    CHECK(gate.count() == 0);
}

TEST_CASE("a notify wakes every waiter; a state set before the wait is not waited for") {
    IoThread thread("io-test");
    Shared shared(thread.context());
    Gate root(thread.context());
    std::promise<int> closed;
    auto future = closed.get_future();
    on_thread(thread, [&] {
        shared.ready = true;
        shared.event.notify();  // Nobody waits yet.
        for (int i = 0; i < 5; ++i) {
            CHECK(spawn(thread.context(), "waiter", shared.gate, wait_until_ready(shared)));
        }
        CHECK(spawn(thread.context(), "closer", root, close_gate(shared, closed)));
    });
    CHECK(future.get() == 5);
    thread.request_stop();
    thread.join();
}

namespace {

struct Where {
    std::thread::id work;
    std::thread::id before;
    std::thread::id after;
    std::string value;
};

Task<> offload_once(ComputePool& pool, std::promise<Where>& out) {
    Where where;
    where.before = std::this_thread::get_id();
    auto work = [] { return std::pair(std::this_thread::get_id(), std::string(100, 'x')); };
    auto result = co_await offload(pool, std::move(work));
    where.work = result.first;
    where.value = result.second;
    where.after = std::this_thread::get_id();
    out.set_value(std::move(where));
}

Task<> offload_move_only(ComputePool& pool, std::promise<int>& out) {
    auto work = [held = std::make_unique<int>(4)]() mutable { return std::move(held); };
    auto result = co_await offload(pool, std::move(work));
    out.set_value(*result);
}

Task<> offload_and_count(ComputePool& pool, int& sum, int add) {
    auto work = [add] { return add; };
    const int value = co_await offload(pool, std::move(work));
    sum += value;  // On the io thread: no lock.
}

Task<> close_only(Gate& gate, std::promise<void>& closed) {
    co_await gate.close();
    closed.set_value();
}

}  // namespace

TEST_CASE("offloaded work runs on the pool and resumes on the io thread it came from") {
    IoThread thread("io-test");
    ComputePool pool(2);
    Gate gate(thread.context());
    std::promise<Where> out;
    auto future = out.get_future();
    std::promise<int> number;
    auto number_future = number.get_future();
    on_thread(thread, [&] {
        CHECK(spawn(thread.context(), "offload", gate, offload_once(pool, out)));
        CHECK(spawn(thread.context(), "offload", gate, offload_move_only(pool, number)));
    });
    const Where where = future.get();
    CHECK(where.work != where.before);
    CHECK(where.after == where.before);
    CHECK(where.value == std::string(100, 'x'));
    CHECK(number_future.get() == 4);
    thread.request_stop();
    thread.join();
    pool.stop_and_join();
}

TEST_CASE("an io thread that was asked to stop still gets the results of offloaded work") {
    IoThread thread("io-test");
    ComputePool pool(2);
    Gate gate(thread.context());
    int sum = 0;
    std::promise<void> closed;
    auto future = closed.get_future();
    Gate root(thread.context());
    on_thread(thread, [&] {
        for (int i = 1; i <= 200; ++i) {
            CHECK(spawn(thread.context(), "offload", gate, offload_and_count(pool, sum, i)));
        }
        CHECK(spawn(thread.context(), "closer", root, close_only(gate, closed)));
    });
    thread.request_stop();
    future.get();
    thread.join();
    CHECK(sum == 200 * 201 / 2);
    pool.stop_and_join();
}
