// Timers as a dependency, like Clock: the node's few timers (cooling, retries, the end of a drain)
// run on the machine's time when it serves, and on simulated time in tests/sim.
// Invariant: after cancel() or destruction the callback of an earlier start() is not called.
// Threading: the io thread. Lifetime: Timers outlive the timers that they made.
#pragma once
#include "base/async/asio.h"
#include "base/clock.h"

#include <functional>
#include <memory>
#include <string_view>

namespace rekindle {

class Timer {
public:
    virtual ~Timer() = default;
    // Calls `fired` once, `after` from now; forgets what was started before.
    virtual void start(Nanoseconds after, std::function<void()> fired) = 0;
    virtual void cancel() = 0;
};

class Timers {
public:
    virtual ~Timers() = default;
    // `name` says in traces what the timer is for.
    virtual std::unique_ptr<Timer> make(std::string_view name) = 0;
};

// On the machine's monotonic clock.
class SystemTimers final : public Timers {
public:
    explicit SystemTimers(asio::io_context& context) : context_(context) {}

    std::unique_ptr<Timer> make(std::string_view name) override;

private:
    asio::io_context& context_;
};

}  // namespace rekindle
