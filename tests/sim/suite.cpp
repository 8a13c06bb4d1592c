#include "tests/sim/suite.h"

#include "base/log.h"
#include "tests/sim/daemon.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <unistd.h>

namespace rekindle::sim {
namespace {

// What a CHECK that fails in the middle of a run says last.
std::string command_of_run;  // NOLINT: a signal handler has no other way to know.

void on_abort(int) {
    constexpr std::string_view kBefore = "\nFAILED (a CHECK): run again with: ";
    static_cast<void>(::write(STDOUT_FILENO, kBefore.data(), kBefore.size()));
    static_cast<void>(::write(STDOUT_FILENO, command_of_run.data(), command_of_run.size()));
    static_cast<void>(::write(STDOUT_FILENO, "\n", 1));
    std::signal(SIGABRT, SIG_DFL);
}

std::string hits_of(const PointHits& hits) {
    std::string out;
    for (size_t i = 0; i < kPoints; ++i) {
        if (hits.reached[i] > 0) {
            out += fmt::format("{}{}:{}{}", out.empty() ? "" : " ", name_of(static_cast<Point>(i)),
                               hits.reached[i], hits.crashed[i] > 0 ? "!" : "");
        }
    }
    return out;
}

void add(SuiteResult& sum, const Outcome& outcome) {
    ++sum.seeds;
    sum.requests += outcome.requests;
    sum.faults += outcome.faults;
    sum.deaths += outcome.daemon_deaths;
    sum.tokens += outcome.tokens;
    sum.guessed += outcome.guessed;
    sum.simulated_s += outcome.simulated_s;
    sum.hits.add(outcome.hits);
}

void print_run(const Outcome& outcome) {
    std::printf(
        "seed %llu hash %016llx requests %u faults %u deaths %u tokens %llu simulated "
        "%.1fs %s points %s\n",
        static_cast<unsigned long long>(outcome.seed),
        static_cast<unsigned long long>(outcome.trace_hash), outcome.requests, outcome.faults,
        outcome.daemon_deaths, static_cast<unsigned long long>(outcome.tokens), outcome.simulated_s,
        outcome.options.c_str(), hits_of(outcome.hits).c_str());
}

std::vector<std::string> names_where_zero(const std::array<uint64_t, kPoints>& counts) {
    std::vector<std::string> names;
    for (size_t i = 0; i < kPoints; ++i) {
        if (counts[i] == 0) {
            names.emplace_back(name_of(static_cast<Point>(i)));
        }
    }
    return names;
}

}  // namespace

std::vector<std::string> SuiteResult::never_reached() const {
    return names_where_zero(hits.reached);
}

std::vector<std::string> SuiteResult::never_crashed() const {
    return names_where_zero(hits.crashed);
}

SuiteResult run_suite(const SuiteOptions& options) {
    set_log_level(LogLevel::kSilent);
    std::signal(SIGABRT, on_abort);
    const Site site;
    SuiteResult sum;
    for (uint64_t i = 0; i < options.seeds; ++i) {
        Options one = options.first;
        one.seed += i;
        command_of_run = one.command();
        const Outcome outcome = simulate(site, one);
        add(sum, outcome);
        if (!options.quiet) {
            print_run(outcome);
        }
        if (outcome.failures.empty()) {
            continue;
        }
        ++sum.failed;
        for (const std::string& failure : outcome.failures) {
            std::printf("  WRONG %s\n", failure.c_str());
        }
        std::printf("  run again with: %s\n", one.command().c_str());
        sum.failures.push_back(fmt::format("seed {}: {} (run again with: {})", one.seed,
                                           outcome.failures.front(), one.command()));
        if (options.stop_at_failure) {
            break;
        }
    }
    std::signal(SIGABRT, SIG_DFL);
    return sum;
}

void print_points(const PointHits& hits) {
    std::printf("%-24s %10s %8s\n", "point", "reached", "died at");
    for (size_t i = 0; i < kPoints; ++i) {
        const std::string_view name = name_of(static_cast<Point>(i));
        std::printf("%-24.*s %10llu %8llu\n", static_cast<int>(name.size()), name.data(),
                    static_cast<unsigned long long>(hits.reached[i]),
                    static_cast<unsigned long long>(hits.crashed[i]));
    }
}

}  // namespace rekindle::sim
