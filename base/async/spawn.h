// The only way to start a coroutine that nobody awaits: named, inside a gate, and an exception that
// reaches its root is a bug (logged with the name, then abort).
#pragma once
#include "base/async/asio.h"
#include "base/async/gate.h"

#include <string>

namespace rekindle {

// Starts `task` on `context` unless the gate is closing (then the task is destroyed unstarted).
// Returns whether it was started. `task` must not refer to temporaries of the caller.
bool spawn(asio::io_context& context, std::string name, Gate& gate, Task<> task);

}  // namespace rekindle
