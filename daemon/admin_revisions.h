// Admin routes of what a deployment was and could be: its revisions, its manifest, plans of new
// ones, and aliases (docs/admin-api.md).
// Threading: the io thread. Lifetime: `node` outlives the coroutines.
#pragma once
#include "base/json.h"
#include "daemon/http_exchange.h"
#include "daemon/http_router.h"
#include "daemon/node.h"

#include <vector>

namespace rekindle::daemon {

json::object plan_json(const DeployPlan& plan);

void add_revision_routes(Node& node, std::vector<Route>& routes);

}  // namespace rekindle::daemon
