#include "tests/sim/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace rekindle::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::array<std::string_view, kFaultKinds> kFaultNames = {
    "crash",        "restart",    "worker-crash",   "worker-crash-in-frame",
    "worker-stall", "worker-lie", "slow-ledger",    "slow-reads",
    "read-fault",   "clock-step", "ledger-refuses", "spare-crash"};

constexpr Nanoseconds kDay = std::chrono::hours(24);

// What many prompts begin with. Its pages are alike, so that one can be taken for another.
std::string opening(Draws& draws) {
    constexpr size_t kPeriod = 16;
    const uint64_t first = draws.below(3);
    std::string text;
    for (uint64_t left = draws.between(20, 110); left > 0; --left) {
        text.push_back(static_cast<char>('a' + first + text.size() % kPeriod));
    }
    return text;
}

daemon::SubmitFrame draw_submit(Draws& draws, uint32_t number) {
    daemon::SubmitFrame submit;
    const uint64_t length = draws.chance(0.1) ? draws.between(60, 150) : draws.between(1, 40);
    if (draws.chance(0.4)) {
        submit.text = opening(draws);
    }
    for (uint64_t i = 0; i < length; ++i) {
        submit.text.push_back(static_cast<char>('a' + draws.below(26)));
    }
    submit.temperature = draws.chance(0.3) ? 0.8F : 0.0F;
    submit.seed = number;
    submit.ignore_eos = draws.chance(0.5);
    submit.tokens_max = static_cast<uint32_t>(draws.between(1, 40));
    if (draws.chance(0.1)) {
        submit.tokens_max = static_cast<uint32_t>(draws.between(60, 120));  // May be too much.
    }
    if (draws.chance(0.2)) {
        submit.stop = {std::string(1, static_cast<char>('a' + draws.below(26))) +
                       std::string(1, static_cast<char>('a' + draws.below(26)))};
    }
    return submit;
}

ClientPlan draw_client(Draws& draws) {
    ClientPlan client;
    client.streamed = draws.chance(0.75);
    if (draws.chance(0.12)) {
        client.leaves_after_tokens = static_cast<uint32_t>(draws.below(20));
    } else if (draws.chance(0.12)) {
        client.leaves_after = draws.time(milliseconds(0), milliseconds(600));
    }
    if (draws.chance(0.15)) {
        client.read_pause = draws.time(milliseconds(5), milliseconds(120));
    }
    client.retries = static_cast<uint32_t>(draws.below(3));
    return client;
}

// More than the lease lets a worker sample ahead of a client that reads slowly.
void make_long(RequestPlan& request, Draws& draws) {
    request.submit.tokens_max = static_cast<uint32_t>(draws.between(330, 440));
    request.submit.ignore_eos = true;
    request.submit.stop.clear();
    request.client.streamed = true;
    request.client.read_pause = draws.time(milliseconds(40), milliseconds(90));
}

// Bursts with pauses between them, so that models cool down and wake again.
void draw_requests(Plan& plan, const Options& options, Draws& draws) {
    const auto count = options.requests.value_or(
        static_cast<uint32_t>(draws.between(kRequestsMin, kRequestsMin + 20)));
    Nanoseconds at = milliseconds(20);
    uint32_t in_burst = 0;
    for (uint32_t i = 0; i < count; ++i) {
        if (in_burst == 0) {
            in_burst = static_cast<uint32_t>(draws.between(1, 12));
            at += draws.time(milliseconds(10), draws.chance(0.3) ? seconds(6) : milliseconds(400));
        }
        --in_burst;
        at += draws.time(Nanoseconds(0), milliseconds(20));
        // The first models are called more often.
        const auto model =
            static_cast<uint32_t>(std::min(draws.below(plan.models), draws.below(plan.models)));
        plan.requests.push_back({.at = at,
                                 .model = model,
                                 .submit = draw_submit(draws, i),
                                 .project = fmt::format("project-{}", draws.below(3)),
                                 .client = draw_client(draws)});
        if (draws.chance(0.02)) {
            make_long(plan.requests.back(), draws);
        }
    }
}

FaultPlan draw_fault(FaultKind kind, const Options& options, Draws& draws) {
    FaultPlan fault{.kind = kind};
    switch (kind) {
        case FaultKind::kCrashAtPoint:
            fault.point = options.crash_at.value_or(static_cast<Point>(draws.below(kPoints)));
            fault.count = static_cast<uint32_t>(draws.chance(0.5) ? 1 : draws.between(1, 30));
            fault.crash = draws.chance(0.5) ? CrashKind::kKill : CrashKind::kPowerLoss;
            break;
        case FaultKind::kClockStep:
            fault.time = draws.chance(0.5) ? kDay : -kDay;
            break;
        case FaultKind::kWorkerStall:
        case FaultKind::kSlowLedger:
        case FaultKind::kSlowReads:
            fault.time = draws.time(milliseconds(100), seconds(4));
            break;
        case FaultKind::kWorkerLie:
        case FaultKind::kReadFault:
            fault.detail = static_cast<uint32_t>(draws.next() % 1024);
            break;
        default:
            break;
    }
    return fault;
}

void draw_faults(Plan& plan, const Options& options, Draws& draws) {
    if (!options.faults) {
        return;
    }
    const Nanoseconds last = plan.requests.back().at;
    const uint64_t count = draws.between(kFaultsMin + 1, kFaultsMin + 5);
    for (uint64_t i = 0; i < count; ++i) {
        // A third of all faults are daemon crashes: most of the rules are about them.
        const auto kind = i == 0 || draws.chance(0.25)
                              ? FaultKind::kCrashAtPoint
                              : static_cast<FaultKind>(draws.below(kFaultKinds));
        FaultPlan fault = draw_fault(kind, options, draws);
        fault.at = draws.time(milliseconds(20), last);
        plan.faults.push_back(fault);
    }
    std::ranges::sort(plan.faults, {}, &FaultPlan::at);
}

}  // namespace

std::string_view name_of(FaultKind kind) noexcept {
    return kFaultNames[static_cast<size_t>(kind)];
}

std::string Plan::describe() const {
    std::string out = fmt::format(
        "models={} fit={} workers_max={} spare={} kv_pages={} idle_ms={} requests={} faults=",
        models, images_that_fit, workers_max, spare_workers, kv_pages,
        std::chrono::duration_cast<milliseconds>(idle).count(), requests.size());
    for (const FaultPlan& fault : faults) {
        if (&fault != &faults.front()) {
            out += ',';
        }
        out += name_of(fault.kind);
        if (fault.kind == FaultKind::kCrashAtPoint) {
            out += fmt::format("({}@{}#{})", fault.crash == CrashKind::kKill ? "kill" : "power",
                               name_of(fault.point), fault.count);
        }
    }
    return out;
}

std::string Options::command() const {
    std::string out = fmt::format("rekindle_sim --seed {}", seed);
    if (!faults) {
        out += " --no-faults";
    }
    if (crash_at) {
        out += fmt::format(" --crash-at {}", name_of(*crash_at));
    }
    if (requests) {
        out += fmt::format(" --requests {}", *requests);
    }
    return out + " --trace";
}

Plan make_plan(const Options& options, Draws& draws) {
    Plan plan;
    plan.models = static_cast<uint32_t>(draws.between(1, 4));
    plan.images_that_fit =
        draws.chance(0.5) ? plan.models : static_cast<uint32_t>(draws.between(1, plan.models));
    plan.workers_max = static_cast<uint32_t>(draws.between(1, 5));
    plan.spare_workers = static_cast<uint32_t>(draws.below(3));
    plan.kv_pages = static_cast<uint32_t>(draws.chance(0.4) ? draws.between(6, 12) : 40);
    plan.idle = draws.time(milliseconds(50), seconds(4));
    draw_requests(plan, options, draws);
    draw_faults(plan, options, draws);
    return plan;
}

}  // namespace rekindle::sim
