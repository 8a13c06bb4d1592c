#include "base/async/timer.h"

#include <cstdint>
#include <utility>

namespace rekindle {
namespace {

class SystemTimer final : public Timer {
public:
    explicit SystemTimer(asio::io_context& context) : timer_(context), turn_(start_of_turns()) {}

    ~SystemTimer() override { ++*turn_; }

    SystemTimer(const SystemTimer&) = delete;
    SystemTimer& operator=(const SystemTimer&) = delete;

    void start(Nanoseconds after, std::function<void()> fired) override {
        const uint64_t mine = ++*turn_;
        timer_.expires_after(after);
        timer_.async_wait(
            [mine, turn = turn_, fired = std::move(fired)](const boost::system::error_code& ec) {
                // A timer that has expired already can't be cancelled: its turn has passed instead.
                if (!ec && *turn == mine) {
                    fired();
                }
            });
    }

    void cancel() override {
        ++*turn_;
        timer_.cancel();
    }

private:
    static std::shared_ptr<uint64_t> start_of_turns() { return std::make_shared<uint64_t>(0); }

    asio::steady_timer timer_;
    // Shared with the callback, which may be queued when the timer goes away.
    std::shared_ptr<uint64_t> turn_;
};

}  // namespace

std::unique_ptr<Timer> SystemTimers::make(std::string_view /*name*/) {
    return std::make_unique<SystemTimer>(context_);
}

}  // namespace rekindle
