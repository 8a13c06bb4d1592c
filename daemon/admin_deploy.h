// POST /admin/v1/deployments: takes a manifest and a model file (a passed descriptor, or what
// follows the manifest in the body) and deploys it, telling its progress a line at a time; or tells
// what it would need. Threading: the io thread; uploads are written on a compute thread.
#pragma once
#include "daemon/admin_api.h"
#include "daemon/http_exchange.h"
#include "daemon/node.h"
#include "daemon/openai_errors.h"

#include <string_view>
#include <variant>

namespace rekindle::daemon {

// `services` outlives the coroutine.
Task<> deploy_from(HttpExchange& exchange, const AdminServices& services);

}  // namespace rekindle::daemon
