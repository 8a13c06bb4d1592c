// "Run this on a compute thread and resume here." A pool of plain threads for blocking or long work
// (importing, hashing, database scans) so that an io thread never waits.
// The function must return a value; its exceptions are bugs and end the process.
#pragma once
#include "base/async/asio.h"

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

#include <optional>
#include <type_traits>
#include <utility>

namespace rekindle {

class ComputePool {
public:
    explicit ComputePool(size_t threads) : threads_(threads) {}
    // Started by its first user; on the io thread.
    asio::thread_pool& pool() { return pool_ ? *pool_ : pool_.emplace(threads_); }
    void stop_and_join() {
        if (pool_) {
            pool_->stop();
            pool_->join();
        }
    }

private:
    const size_t threads_;
    std::optional<asio::thread_pool> pool_;
};

// Plain function that returns the awaitable: a capturing lambda must not stand inside the
// coroutine's own co_await expression (docs/decisions, coroutine rule 2).
template <typename Function>
    requires(!std::is_void_v<std::invoke_result_t<Function>>)
Task<std::invoke_result_t<Function>> offload(ComputePool& pool, Function function) {
    using Value = std::invoke_result_t<Function>;
    auto initiate = [&pool](auto handler, Function work) {
        auto executor = asio::get_associated_executor(handler);
        auto guard = asio::make_work_guard(executor);
        asio::post(pool.pool(), [handler = std::move(handler), work = std::move(work),
                                 guard = std::move(guard)]() mutable {
            Value value = work();
            auto resume_on = guard.get_executor();
            asio::post(resume_on, [handler = std::move(handler), value = std::move(value),
                                   guard = std::move(guard)]() mutable {
                std::move(handler)(std::move(value));
            });
        });
    };
    return asio::async_initiate<const asio::use_awaitable_t<>, void(Value)>(
        std::move(initiate), asio::use_awaitable, std::move(function));
}

}  // namespace rekindle
