// Pins what the coroutines of this program need from the compiler: g++ 12.2 destroys temporaries of
// a co_await expression twice and takes wrong branches on `if (co_await …)`. A compiler that fails
// here must not build the program.
#include "base/async/asio.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <doctest/doctest.h>

#include <array>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <utility>

using namespace rekindle;  // NOLINT(google-build-using-namespace): a test.

namespace {

int constructed = 0;
int destroyed = 0;

// Counts its lives: copies and moves are constructions too.
struct Counted {
    int value = 0;

    explicit Counted(int v) : value(v) { ++constructed; }

    Counted(const Counted& other) : value(other.value) { ++constructed; }

    Counted(Counted&& other) noexcept : value(other.value) { ++constructed; }

    Counted& operator=(const Counted&) = delete;

    ~Counted() { ++destroyed; }
};

struct Aggregate {
    Counted first;
    Counted second;
    int number = 0;
};

struct Options {
    std::string name;
    std::shared_ptr<int> shared;
    int number = 3;
};

Task<int> identity(int value) {
    co_return value;
}

Task<int> call(std::function<Task<int>()> function) {
    int value = co_await function();
    co_return value;
}

template <typename Function>
Task<int> call_plain(Function function) {
    int value = co_await function();
    co_return value;
}

Task<int> take_aggregate(Aggregate aggregate) {
    int value = co_await identity(aggregate.first.value + aggregate.second.value);
    co_return value + aggregate.number;
}

Task<int> take_options(Options options) {
    int value = co_await identity(*options.shared + options.number);
    co_return value + static_cast<int>(options.name.size());
}

Task<int> take_array(std::array<Counted, 2> pair) {
    int value = co_await identity(pair[0].value);
    co_return value + pair[1].value;
}

// Runs a coroutine on an io_context of its own and gives its value.
int run(Task<int> task) {
    asio::io_context context;
    int out = -1;
    asio::co_spawn(context, std::move(task), [&out](const std::exception_ptr& error, int value) {
        REQUIRE(error == nullptr);
        out = value;
    });
    context.run();
    return out;
}

template <typename Make>
int counted_run(Make make) {
    constructed = 0;
    destroyed = 0;
    const int value = run(make());
    CHECK(constructed > 0);
    CHECK(constructed == destroyed);
    return value;
}

// ---- Temporaries in a full expression with co_await ----

Task<int> closure_temporary() {
    const Counted held(5);
    const int value = co_await call([held]() -> Task<int> { return identity(held.value); });
    co_return value;
}

Task<int> plain_closure_temporary() {
    const Counted held(6);
    const int value = co_await call_plain([held] { return identity(held.value); });
    co_return value;
}

Task<int> aggregate_temporary() {
    const int value = co_await take_aggregate(Aggregate{Counted(1), Counted(2), 4});
    co_return value;
}

Task<int> braced_temporary() {
    const int value = co_await take_aggregate({Counted(1), Counted(2), 4});
    co_return value;
}

Task<int> designated_temporary() {
    const int value =
        co_await take_options({.name = std::string(50, 'n'), .shared = std::make_shared<int>(7)});
    co_return value;
}

Task<int> array_temporary() {
    const int value = co_await take_array({Counted(3), Counted(4)});
    co_return value;
}

Task<int> initialised_by_await() {
    const Aggregate aggregate{Counted(co_await identity(1)), Counted(co_await identity(2)), 3};
    co_return aggregate.first.value + aggregate.second.value + aggregate.number;
}

Task<int> spawned_closure(Counted held) {
    auto executor = co_await asio::this_coro::executor;
    const int value = co_await asio::co_spawn(
        executor, [held]() -> Task<int> { return identity(held.value); }, asio::use_awaitable);
    co_return value;
}

// ---- Branches: no local stands before the co_await ----

Task<int> branch_taken() {
    if (co_await identity(1)) {
        co_return 1;
    }
    co_return 0;
}

Task<int> branch_not_taken() {
    if (co_await identity(0)) {
        co_return 1;
    }
    co_return 0;
}

Task<int> negated_branch() {
    if (!co_await identity(0)) {
        co_return 1;
    }
    co_return 0;
}

Task<int> loop_condition(int& left) {
    while (co_await identity(left)) {
        --left;
    }
    co_return left;
}

Task<int> switched(int& which) {
    switch (co_await identity(which)) {
        case 0:
            co_return 10;
        case 1:
            co_return 11;
        default:
            co_return 12;
    }
}

Task<int> short_circuit(int& calls) {
    const bool both = co_await identity(0) != 0 && co_await identity(++calls) != 0;
    const bool either = co_await identity(1) != 0 || co_await identity(++calls) != 0;
    co_return (both ? 1 : 0) + (either ? 2 : 0);
}

Task<int> throwing() {
    const Counted held(1);
    const int value = co_await identity(held.value);
    if (value == 1) {
        throw std::string("thrown");
    }
    co_return value;
}

Task<int> catching() {
    bool caught = false;
    try {
        static_cast<void>(co_await throwing());
    } catch (const std::string&) {
        caught = true;
    }
    co_return caught ? 1 : 0;
}

}  // namespace

TEST_CASE("temporaries around co_await are destroyed once each") {
    CHECK(counted_run(closure_temporary) == 5);
    CHECK(counted_run(plain_closure_temporary) == 6);
    CHECK(counted_run(aggregate_temporary) == 7);
    CHECK(counted_run(braced_temporary) == 7);
    CHECK(counted_run(array_temporary) == 7);
    CHECK(counted_run(initialised_by_await) == 6);
    CHECK(counted_run([] { return spawned_closure(Counted(8)); }) == 8);
    CHECK(counted_run(catching) == 1);
    CHECK(run(designated_temporary()) == 60);
}

TEST_CASE("a co_await in a condition takes the branch that its value says") {
    CHECK(run(branch_taken()) == 1);
    CHECK(run(branch_not_taken()) == 0);
    CHECK(run(negated_branch()) == 1);
    int left = 5;
    CHECK(run(loop_condition(left)) == 0);
    CHECK(left == 0);
    for (int which = 0; which < 3; ++which) {
        CHECK(run(switched(which)) == 10 + which);
    }
    int calls = 0;
    CHECK(run(short_circuit(calls)) == 2);
    CHECK(calls == 0);
}

TEST_CASE("a task that is never started is destroyed with what it holds") {
    constructed = 0;
    destroyed = 0;
    {
        const Task<int> never = spawned_closure(Counted(8));
        CHECK(never.valid());
    }
    CHECK(constructed > 0);
    CHECK(constructed == destroyed);
}
