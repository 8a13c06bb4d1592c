// POST /admin/v1/gc, /admin/v1/verify, /admin/v1/warm/NAME, /admin/v1/cool/NAME, and
// for everybody who may ask a model POST /v1/preload/NAME (docs/admin-api.md).
// Threading: the io thread. Ownership: `upkeep` outlives the routes.
#pragma once
#include "daemon/http_router.h"
#include "daemon/upkeep.h"

#include <vector>

namespace rekindle::daemon {

inline constexpr int64_t kCoolWaitMsMax = 3'600'000;  // An hour.

void add_upkeep_routes(Upkeep& upkeep, std::vector<Route>& routes);

}  // namespace rekindle::daemon
