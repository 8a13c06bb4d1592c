// Hands an open file to the daemon: a descriptor (SCM_RIGHTS) that rides on the first byte of a
// request over its Unix socket, so that the daemon never opens a path that a client names.
#pragma once
#include "base/result.h"

namespace rekindle::cli {

// Sends `first` together with `descriptor`, which stays the caller's, on a connected Unix socket
// that nothing was sent on before.
Result<void> send_with_descriptor(int socket, char first, int descriptor);

}  // namespace rekindle::cli
