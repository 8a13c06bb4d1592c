// One run: a daemon with its clients, workers and disks on simulated time, under one seed.
//   plan (seed) → requests and faults → every answer ended → all cooled, drained, stopped → oracle
// Invariant: the same seed and options give the same trace. Threading: one thread.
#pragma once
#include "tests/sim/plan.h"
#include "tests/sim/points.h"

#include <cstdint>
#include <string>
#include <vector>

namespace rekindle::sim {

struct Site;

struct Outcome {
    uint64_t seed = 0;
    std::string options;  // The plan, in one line.
    uint64_t trace_hash = 0;
    uint32_t requests = 0;  // Attempts included.
    uint32_t faults = 0;
    uint32_t daemon_deaths = 0;
    uint64_t tokens = 0;
    uint64_t guessed = 0;  // Of them, and of those that nobody got: by speculative decoding.
    double simulated_s = 0;
    PointHits hits;
    std::vector<std::string> failures;
};

Outcome simulate(const Site& site, const Options& options);

}  // namespace rekindle::sim
