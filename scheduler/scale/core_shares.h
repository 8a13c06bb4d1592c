// How workers that are busy at the same time share the cores of a node, so that their threads do
// not take turns on one core. Pure. Threading: none (values in, values out).
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace rekindle::scheduler {

// Compute threads of each worker, given how many requests it has. Busy ones get equal parts, at
// least one each (more workers than cores share by the kernel's turns); what is left over goes to
// those with most requests, the earlier of equals first. An idle one is told all `cores`: it may
// use them from its first request on, until the next call. cores >= 1.
std::vector<uint32_t> share_cores(uint32_t cores, std::span<const uint32_t> requests);

}  // namespace rekindle::scheduler
