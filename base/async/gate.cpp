#include "base/async/gate.h"

#include "base/check.h"

namespace rekindle {

Gate::Pass::~Pass() {
    if (gate_ != nullptr) {
        gate_->leave();
    }
}

Gate::Gate(asio::io_context& context) : emptied_(context) {
    emptied_.expires_at(asio::steady_timer::time_point::max());
}

Gate::~Gate() {
    REKINDLE_CHECK(count_ == 0, "a gate outlives every coroutine that entered it");
}

std::optional<Gate::Pass> Gate::enter() noexcept {
    if (closing_) {
        return std::nullopt;
    }
    ++count_;
    return std::optional<Pass>(std::in_place, this);
}

Task<> Gate::close() {
    closing_ = true;
    while (count_ > 0) {
        auto out = co_await emptied_.async_wait(kAsTuple);
        static_cast<void>(out);  // operation_aborted: leave() cancelled the timer.
    }
}

void Gate::leave() noexcept {
    REKINDLE_CHECK(count_ > 0, "a pass is given back once");
    --count_;
    if (count_ == 0 && closing_) {
        emptied_.cancel();
    }
}

}  // namespace rekindle
