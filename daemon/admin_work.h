// Admin requests that take long: the work runs on, its progress is told a line at a time, and the
// answer's last line is its result or its error (docs/admin-api.md). Who leaves cancels it.
// Threading: the io thread. Lifetime: the services' gate keeps what the work refers to alive.
#pragma once
#include "base/json.h"
#include "daemon/admin_api.h"
#include "daemon/http_exchange.h"
#include "daemon/node.h"
#include "daemon/openai_errors.h"

#include <atomic>
#include <functional>
#include <memory>
#include <string>

namespace rekindle::daemon {

// Makes the coroutine that does the work and gives the last line's object. `cancelled` becomes true
// once nobody waits for it.
using StartWork = std::function<Task<Result<json::object>>(
    std::shared_ptr<std::atomic<bool>> cancelled, Node::OnProgress on_progress)>;

// `services` outlives the coroutine.
Task<> work_and_tell(HttpExchange& exchange, const AdminServices& services, std::string name,
                     StartWork start);

// A broken model file is the sender's fault, whatever part of it was found out.
ApiError work_error(const Error& error);

}  // namespace rekindle::daemon
