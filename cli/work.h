// Admin requests whose work is told a line at a time: progress, then the result or an error.
// Threading: none.
#pragma once
#include "base/json.h"
#include "base/result.h"
#include "cli/http_client.h"
#include "cli/progress.h"

#include <string_view>

namespace rekindle::cli {

// The object `result` of the last line.
Result<json::object> send_work(HttpClient& client, const HttpRequest& request,
                               std::string_view result, Progress& progress);

}  // namespace rekindle::cli
