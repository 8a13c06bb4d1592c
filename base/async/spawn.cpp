#include "base/async/spawn.h"

#include "base/log.h"

#include <boost/asio/co_spawn.hpp>

#include <cstdlib>
#include <exception>
#include <utility>

namespace rekindle {
namespace {

Task<> hold_gate(Gate::Pass pass, Task<> task) {
    co_await std::move(task);
    static_cast<void>(pass);
}

[[noreturn]] void abort_on_escape(const std::string& name, const std::exception_ptr& error) {
    std::string what = "unknown exception";
    try {
        std::rethrow_exception(error);
    } catch (const std::exception& e) {
        what = e.what();
    } catch (...) {  // NOLINT(bugprone-empty-catch): `what` already says so.
    }
    log_error("coroutine_failed", {{"name", name}, {"what", what}});
    std::abort();
}

}  // namespace

bool spawn(asio::io_context& context, std::string name, Gate& gate, Task<> task) {
    auto pass = gate.enter();
    if (!pass) {
        return false;
    }
    auto held = hold_gate(std::move(*pass), std::move(task));
    asio::co_spawn(context, std::move(held),
                   [name = std::move(name)](const std::exception_ptr& error) {
                       if (error) {
                           abort_on_escape(name, error);
                       }
                   });
    return true;
}

}  // namespace rekindle
