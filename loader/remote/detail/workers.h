// Runs one piece of work for each of many items on several threads, each with its own connection;
// the first error ends all. Threading: blocking; the threads have ended when run() returns.
#pragma once
#include "base/result.h"
#include "loader/remote/objects.h"

#include <cstddef>
#include <functional>

namespace rekindle::remote {

using ItemWork = std::function<Result<void>(Objects& objects, size_t item)>;

// Items begin in order. kCancelled when the place's `cancelled` says so.
Result<void> run_parallel(const RemotePlace& place, size_t items, const ItemWork& work);

}  // namespace rekindle::remote
