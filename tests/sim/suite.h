// Many seeds, one after the other: sums, and what was wrong with which.
#pragma once
#include "tests/sim/simulation.h"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace rekindle::sim {

struct SuiteOptions {
    Options first;  // Its seed, and then the following ones.
    uint64_t seeds = 1;
    bool stop_at_failure = true;
    bool quiet = false;  // No line per seed.
};

struct SuiteResult {
    uint64_t seeds = 0;
    uint64_t failed = 0;
    uint64_t requests = 0;
    uint64_t faults = 0;
    uint64_t deaths = 0;
    uint64_t tokens = 0;
    uint64_t guessed = 0;
    double simulated_s = 0;
    PointHits hits;
    std::vector<std::string> failures;  // Each with the command that shows it again.

    // Points that no daemon reached, or at which none died.
    std::vector<std::string> never_reached() const;
    std::vector<std::string> never_crashed() const;
};

// Prints a line per seed: seed, options, hash, counts, and the hits of each point.
SuiteResult run_suite(const SuiteOptions& options);
// Hits per named point over all runs.
void print_points(const PointHits& hits);

}  // namespace rekindle::sim
