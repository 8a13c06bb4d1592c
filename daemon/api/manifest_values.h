// One field's value: checked against the table's row and brought into its one canonical spelling.
// Pure. Box-internal.
#pragma once
#include "base/json.h"
#include "base/result.h"
#include "daemon/api/manifest_fields.h"
#include "daemon/api/manifest_tree.h"

namespace rekindle::daemon::api {

// The canonical value. The error says what the field must be; the caller adds where it stands.
Result<json::value> canonical_value(const ManifestField& field, const ManifestNode& node);

}  // namespace rekindle::daemon::api
