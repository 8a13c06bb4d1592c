// Two problems of shutting down coroutines: no new ones may begin, and the running ones must have
// ended before what they refer to goes away. Every spawned coroutine holds a Gate's Pass; close()
// refuses new ones and completes when the last Pass is gone. The destructor checks that none is
// out. Threading: all members on the io thread that owns the gate.
#pragma once
#include "base/async/asio.h"
#include "base/result.h"

#include <cstddef>
#include <optional>
#include <utility>

namespace rekindle {

class Gate {
public:
    class [[nodiscard]] Pass {
    public:
        explicit Pass(Gate* gate) noexcept : gate_(gate) {}
        Pass(Pass&& other) noexcept : gate_(std::exchange(other.gate_, nullptr)) {}
        Pass& operator=(Pass&&) = delete;
        ~Pass();

    private:
        Gate* gate_;
    };

    explicit Gate(asio::io_context& context);
    Gate(const Gate&) = delete;
    Gate& operator=(const Gate&) = delete;
    ~Gate();

    // Nothing once closing.
    std::optional<Pass> enter() noexcept;
    bool closing() const noexcept { return closing_; }
    size_t count() const noexcept { return count_; }
    // Refuses new passes and waits for the last one to be given back. May be awaited once.
    Task<> close();

private:
    void leave() noexcept;

    asio::steady_timer emptied_;
    size_t count_ = 0;
    bool closing_ = false;
};

}  // namespace rekindle
