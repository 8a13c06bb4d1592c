// What rekindled does with a data folder instead of serving it: verify, back up, restore; and
// what it finds about the machine.
#pragma once
#include "daemon/config.h"

namespace rekindle::daemon {

// Results on standard output, one error on standard error; the exit code of the process.
int run_offline(const Config& config, const Offline& task);

}  // namespace rekindle::daemon
