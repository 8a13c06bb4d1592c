// Queue between threads with a fixed capacity. push waits or refuses at the limit, as the caller
// chooses; close lets the consumers finish what is queued and then see the end.
// Threading: any number of producers and consumers.
#pragma once
#include "base/check.h"

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

namespace rekindle {

template <typename T>
class BoundedQueue {
public:
    explicit BoundedQueue(size_t capacity) : capacity_(capacity) {
        REKINDLE_CHECK(capacity > 0, "a queue holds at least one item");
    }

    // False when full or closed; the item is then dropped by the caller's choice.
    [[nodiscard]] bool try_push(T item) {
        {
            const std::lock_guard lock(mutex_);
            if (closed_ || items_.size() >= capacity_) {
                return false;
            }
            items_.push_back(std::move(item));
        }
        filled_.notify_one();
        return true;
    }

    // Waits for room; false when closed.
    [[nodiscard]] bool push(T item) {
        {
            std::unique_lock lock(mutex_);
            emptied_.wait(lock, [this] { return closed_ || items_.size() < capacity_; });
            if (closed_) {
                return false;
            }
            items_.push_back(std::move(item));
        }
        filled_.notify_one();
        return true;
    }

    // Waits for an item; nothing once closed and empty.
    std::optional<T> pop() {
        std::unique_lock lock(mutex_);
        filled_.wait(lock, [this] { return closed_ || !items_.empty(); });
        return take_front(lock);
    }

    // Waits at most `timeout`.
    template <typename Rep, typename Period>
    std::optional<T> pop_for(std::chrono::duration<Rep, Period> timeout) {
        std::unique_lock lock(mutex_);
        filled_.wait_for(lock, timeout, [this] { return closed_ || !items_.empty(); });
        return take_front(lock);
    }

    std::optional<T> try_pop() {
        std::unique_lock lock(mutex_);
        return take_front(lock);
    }

    void close() {
        {
            const std::lock_guard lock(mutex_);
            closed_ = true;
        }
        filled_.notify_all();
        emptied_.notify_all();
    }

    bool closed() const {
        const std::lock_guard lock(mutex_);
        return closed_;
    }

    size_t size() const {
        const std::lock_guard lock(mutex_);
        return items_.size();
    }

private:
    std::optional<T> take_front(std::unique_lock<std::mutex>& lock) {
        if (items_.empty()) {
            return std::nullopt;
        }
        std::optional<T> item(std::move(items_.front()));
        items_.pop_front();
        lock.unlock();
        emptied_.notify_one();
        return item;
    }

    const size_t capacity_;
    mutable std::mutex mutex_;
    std::condition_variable filled_;
    std::condition_variable emptied_;
    std::deque<T> items_;
    bool closed_ = false;
};

}  // namespace rekindle
