// `rekindle deploy --dry-run` for people, out of the daemon's plan (docs/admin-api.md). Pure.
#pragma once
#include "base/json.h"

#include <string>

namespace rekindle::cli {

std::string plan_text(const json::object& plan);

}  // namespace rekindle::cli
