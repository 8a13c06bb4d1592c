// POST /admin/v1/deployments: takes a model file (a passed descriptor or the request's body) and
// deploys it, telling its progress a line at a time.
// Threading: the io thread; uploads are written on a compute thread.
#pragma once
#include "daemon/admin_api.h"
#include "daemon/http_exchange.h"
#include "daemon/node.h"
#include "daemon/openai_errors.h"

#include <string_view>
#include <variant>

namespace rekindle::daemon {

// The query of a deployment; what can be seen to be wrong before the file is sent is refused here.
std::variant<DeploySpec, ApiError> read_deploy_query(std::string_view query);

// `services` outlives the coroutine.
Task<> deploy_from(HttpExchange& exchange, const AdminServices& services);

}  // namespace rekindle::daemon
