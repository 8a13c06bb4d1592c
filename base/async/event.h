// A condition that coroutines of one io thread wait for. notify() wakes every waiter; waiters look
// at their own state again, so a notify before a wait is not lost when the state is checked first.
// Threading: the owning io thread; from other threads post a notify to its io_context.
#pragma once
#include "base/async/asio.h"

namespace rekindle {

class Event {
public:
    explicit Event(asio::io_context& context) : timer_(context) {
        timer_.expires_at(asio::steady_timer::time_point::max());
    }

    void notify() { timer_.cancel(); }

    // Returns after the next notify().
    Task<> wait();

private:
    asio::steady_timer timer_;
};

inline Task<> Event::wait() {
    auto out = co_await timer_.async_wait(kAsTuple);
    static_cast<void>(out);  // operation_aborted: notify() cancelled the timer.
}

}  // namespace rekindle
