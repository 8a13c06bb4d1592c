// The JSON Schema (draft 2020-12) of a manifest, made from the table of its fields. What it accepts
// the parser accepts, but for rules between fields: an alias is not the deployment's own name.
#pragma once
#include "base/json.h"

#include <string>

namespace rekindle::daemon::api {

json::object manifest_schema();
// As it is published (docs/schema/deployment-manifest.json): indented, with a final line end.
std::string manifest_schema_text();

}  // namespace rekindle::daemon::api
