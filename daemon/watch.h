// What the node keeps for those who watch it: numbers and the last requests' traces.
// Threading: the io thread. Ownership: the node; it outlives all requests.
#pragma once
#include "daemon/node_metrics.h"
#include "daemon/request_trace.h"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace rekindle::daemon {

struct Watch {
    explicit Watch(const Clock& clock) : metrics(clock) {}

    NodeMetrics metrics;
    TraceRing traces;
    // Of each deployment the last request that found it cold, by name; kept however old it is.
    std::map<std::string, std::shared_ptr<const RequestTrace>, std::less<>> last_cold;
};

// Why requests should not be sent to this node.
struct Unready {
    std::string code;  // "starting", "draining", "ledger", "workers" or "stalled".
    std::string message;
    bool restart_cures = false;  // What waiting does not.
};

}  // namespace rekindle::daemon
