#include "loader/remote/detail/workers.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace rekindle::remote {
namespace {

class Crew {
public:
    Crew(const RemotePlace& place, size_t items, const ItemWork& work)
        : place_(place), items_(items), work_(work) {}

    Result<void> run() {
        const size_t hands = std::min<size_t>(place_.context.settings.connections, items_);
        std::vector<std::jthread> threads;
        threads.reserve(hands);
        for (size_t i = 0; i < hands; ++i) {
            threads.emplace_back([this] { take_items(); });
        }
        threads.clear();  // Joins them.
        return error_ ? Result<void>(*error_) : Result<void>();
    }

private:
    void take_items() {
        RemotePlace mine{place_.address, place_.context, [this] { return ended(); }};
        auto objects = Objects::open(mine);
        if (!objects) {
            fail(std::move(objects).error());
            return;
        }
        for (size_t item = next_++; item < items_ && !ended(); item = next_++) {
            auto done = work_(**objects, item);
            if (!done) {
                fail(std::move(done).error());
                return;
            }
        }
        if (place_.cancelled && place_.cancelled()) {
            fail(Error{ErrorCode::kCancelled, "the transfer was cancelled"});
        }
    }

    bool ended() const { return failed_ || (place_.cancelled && place_.cancelled()); }

    // What the others say after that is only that they were stopped.
    void fail(Error error) {
        const std::lock_guard lock(mutex_);
        if (!error_) {
            error_ = std::move(error);
        }
        failed_ = true;
    }

    const RemotePlace& place_;
    const size_t items_;
    const ItemWork& work_;
    std::atomic<size_t> next_{0};
    std::atomic<bool> failed_{false};
    std::mutex mutex_;
    std::optional<Error> error_;
};

}  // namespace

Result<void> run_parallel(const RemotePlace& place, size_t items, const ItemWork& work) {
    return Crew(place, items, work).run();
}

}  // namespace rekindle::remote
