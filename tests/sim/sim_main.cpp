// rekindle_sim: runs seeds of the simulation and prints what each did; docs/decisions/0003.
//   rekindle_sim [--seed S] [--seeds N] [--trace] [--quiet] [--keep-going] [--no-faults]
//                [--requests N] [--crash-at POINT] [--points]
// Exit status: 0, 1 when a run found something wrong, 2 for wrong usage.
#include "tests/sim/suite.h"

#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string_view>

namespace {

using rekindle::sim::SuiteOptions;

std::optional<uint64_t> number(std::string_view text) {
    uint64_t value = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
    if (read.ec != std::errc() || read.ptr != text.data() + text.size()) {
        return std::nullopt;
    }
    return value;
}

// False for an option that does not exist, or whose value is wrong.
bool parse(int argc, char** argv, SuiteOptions& options, bool& points) {
    for (int i = 1; i < argc; ++i) {
        const std::string_view name = argv[i];
        if (name == "--trace") {
            options.first.trace = true;
        } else if (name == "--quiet") {
            options.quiet = true;
        } else if (name == "--keep-going") {
            options.stop_at_failure = false;
        } else if (name == "--no-faults") {
            options.first.faults = false;
        } else if (name == "--points") {
            points = true;
        } else if (i + 1 == argc) {
            return false;
        } else if (name == "--crash-at") {
            options.first.crash_at = rekindle::sim::point_named(argv[++i]);
            if (!options.first.crash_at) {
                return false;
            }
        } else {
            const auto value = number(argv[++i]);
            if (!value) {
                return false;
            }
            if (name == "--seed") {
                options.first.seed = *value;
            } else if (name == "--seeds") {
                options.seeds = *value;
            } else if (name == "--requests" && *value > 0) {
                options.first.requests = static_cast<uint32_t>(*value);
            } else {
                return false;
            }
        }
    }
    return true;
}

}  // namespace

int main(int argc, char** argv) {
    SuiteOptions options;
    bool points = false;
    if (!parse(argc, argv, options, points)) {
        std::fprintf(stderr,
                     "usage: rekindle_sim [--seed S] [--seeds N] [--trace] [--quiet] "
                     "[--keep-going] [--no-faults]\n"
                     "                    [--requests N] [--crash-at POINT] [--points]\n");
        return 2;
    }
    const auto begun = std::chrono::steady_clock::now();
    const auto sum = rekindle::sim::run_suite(options);
    const double wall =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    if (points || options.seeds > 1) {
        rekindle::sim::print_points(sum.hits);
    }
    std::printf(
        "%llu seeds (%llu failed), %llu requests, %llu faults, %llu daemon deaths, %llu "
        "tokens, %.0f s simulated in %.1f s: %.1f runs/s, %.0f x real time\n",
        static_cast<unsigned long long>(sum.seeds), static_cast<unsigned long long>(sum.failed),
        static_cast<unsigned long long>(sum.requests), static_cast<unsigned long long>(sum.faults),
        static_cast<unsigned long long>(sum.deaths), static_cast<unsigned long long>(sum.tokens),
        sum.simulated_s, wall, static_cast<double>(sum.seeds) / wall, sum.simulated_s / wall);
    return sum.failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
