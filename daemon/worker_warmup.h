// What a generic worker pays for before it says Hello, so that the first prompt does not: page
// faults of its code, of the heap and of compute buffers.
// Threading: before the worker starts threads, and before it is confined.
#pragma once

namespace rekindle::daemon {

// Nothing fails: what the system refuses is paid for later.
void warm_up_worker();

}  // namespace rekindle::daemon
