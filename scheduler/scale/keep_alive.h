// When a worker is no longer worth its memory, and which one goes first. Pure: decisions from the
// time and what is resident; who asks carries them out. Cooling a deployment ends its worker; its
// image stays in host memory until the host tier needs the room (least recently used goes there).
// Invariant: a worker with requests, or one that is kept, is never named.
// Threading: none (values in, values out).
#pragma once
#include "base/clock.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace rekindle::scheduler {

struct ScaleLimits {
    std::chrono::milliseconds idle_default = std::chrono::minutes(5);
    uint32_t spares_min = 1;    // Generic workers, started and waiting for a deployment.
    uint32_t workers_max = 16;  // Assigned, spare and starting ones together.
};

// One worker that serves a deployment.
struct WorkerUse {
    std::string deployment;
    uint32_t requests = 0;     // Waiting for it or running on it.
    Nanoseconds idle_since{};  // Monotonic; of the last request's end, else of its start.
    std::optional<std::chrono::milliseconds> idle_max;  // Of the deployment; nothing: the default.
    bool kept = false;                                  // Stays warm: neither cooled nor evicted.
};

// Deployments whose worker was idle for its time, longest idle first.
std::vector<std::string> workers_to_cool(std::span<const WorkerUse> workers, Nanoseconds now,
                                         const ScaleLimits& limits);

// How long until workers_to_cool() may name one; nothing while all are busy or kept for ever.
// One timer for the whole node: a model at zero wakes nobody.
std::optional<Nanoseconds> until_next_cooling(std::span<const WorkerUse> workers, Nanoseconds now,
                                              const ScaleLimits& limits);

// The worker to end when another deployment needs its place: idle the longest, never a busy one.
std::optional<std::string> worker_to_evict(std::span<const WorkerUse> workers);

struct PoolCounts {
    uint32_t assigned = 0;
    uint32_t spare = 0;
    uint32_t starting = 0;
};

// How many generic workers to start now, within workers_max.
uint32_t spares_to_start(const PoolCounts& counts, const ScaleLimits& limits);
// Whether a worker for one more deployment needs another's place first.
bool pool_is_full(const PoolCounts& counts, const ScaleLimits& limits);

}  // namespace rekindle::scheduler
