#include "base/log.h"
#include "tests/sim/daemon.h"
#include "tests/sim/suite.h"

#include <doctest/doctest.h>

using namespace rekindle;       // NOLINT(google-build-using-namespace): test file.
using namespace rekindle::sim;  // NOLINT(google-build-using-namespace): test file.

namespace {

constexpr uint64_t kSeeds = 150;  // Some 12 s of one core; every point is reached by far fewer.

}  // namespace

TEST_CASE("the node keeps its promises under every seed, and dies at every named point") {
    const SuiteResult sum = run_suite({.seeds = kSeeds, .stop_at_failure = false, .quiet = true});
    for (const std::string& failure : sum.failures) {
        FAIL_CHECK(failure);
    }
    print_points(sum.hits);
    for (const std::string& point : sum.never_reached()) {
        FAIL_CHECK("no daemon reached " << point);
    }
    CHECK(sum.requests >= sum.seeds * kRequestsMin);
    CHECK(sum.faults >= sum.seeds * kFaultsMin);
    CHECK(sum.guessed >= 20 * sum.seeds);
}

TEST_CASE("each run has its requests and its faults") {
    set_log_level(LogLevel::kSilent);
    const Site site;
    for (uint64_t seed = 500; seed < 510; ++seed) {
        const Outcome outcome = simulate(site, {.seed = seed});
        CHECK(outcome.requests >= kRequestsMin);
        CHECK(outcome.faults >= kFaultsMin);
        CHECK(outcome.failures.empty());
    }
}

TEST_CASE("one seed is one run: the same trace, whatever ran before it") {
    set_log_level(LogLevel::kSilent);
    const Site site;
    for (const uint64_t seed : {3U, 17U, 40U}) {
        const Outcome first = simulate(site, {.seed = seed});
        const Outcome other = simulate(site, {.seed = seed + 1000});
        const Outcome again = simulate(site, {.seed = seed});
        CHECK(first.trace_hash == again.trace_hash);
        CHECK(first.hits.reached == again.hits.reached);
        CHECK(first.trace_hash != other.trace_hash);
    }
}

TEST_CASE("without faults every request that fits is answered") {
    set_log_level(LogLevel::kSilent);
    const Site site;
    const Outcome outcome = simulate(site, {.seed = 1, .faults = false});
    CHECK(outcome.failures.empty());
    CHECK(outcome.daemon_deaths == 0);
}
