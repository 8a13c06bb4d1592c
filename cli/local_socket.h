// The Unix socket of a daemon that was found by its port: descriptors, and folders of its machine,
// are taken there alone. Threading: none.
#pragma once
#include "base/result.h"
#include "cli/endpoint.h"
#include "cli/http_client.h"

#include <optional>

namespace rekindle::cli {

// Nothing when the daemon runs elsewhere, or its socket is not ours to open.
Result<std::optional<Endpoint>> local_socket(HttpClient& client);

}  // namespace rekindle::cli
