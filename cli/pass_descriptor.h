// Hands an open file to the daemon: a descriptor (SCM_RIGHTS) that rides on the first byte of a
// request over its Unix socket, so that the daemon never opens a path that a client names.
#pragma once
#include "base/result.h"
#include "base/unique_fd.h"

#include <sys/socket.h>

namespace rekindle::cli {

// Connects to the Unix address and sends `first` together with `descriptor`, which stays the
// caller's. kUnavailable when nobody listens there.
Result<UniqueFd> connect_and_pass(const sockaddr& address, socklen_t address_bytes, char first,
                                  int descriptor);

}  // namespace rekindle::cli
