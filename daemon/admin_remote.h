// POST /admin/v1/push and /admin/v1/pull: images to and from a remote place (docs/admin-api.md).
// Threading: the io thread. Lifetime: `services` outlives the routes.
#pragma once
#include "daemon/admin_api.h"
#include "daemon/http_router.h"

#include <vector>

namespace rekindle::daemon {

void add_remote_routes(const AdminServices& services, std::vector<Route>& routes);

}  // namespace rekindle::daemon
