// POST /admin/v1/bench/NAME: measures a model on this node, in a worker of its own, and tells its
// progress a line at a time (docs/admin-api.md).
// Threading: the io thread. Lifetime: the node outlives the routes.
#pragma once
#include "daemon/http_router.h"
#include "daemon/node.h"

#include <vector>

namespace rekindle::daemon {

void add_bench_route(Node& node, std::vector<Route>& routes);

}  // namespace rekindle::daemon
