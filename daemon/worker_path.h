// Where rekindle-worker is. Threading: any.
#pragma once
#include "base/result.h"

#include <string>

namespace rekindle::daemon {

// Beside rekindled, where it is built, or in libexec, where it is installed. kNotFound says where
// it belongs.
Result<std::string> worker_executable();

}  // namespace rekindle::daemon
