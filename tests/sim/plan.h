// What one run is: drawn from its seed, or given by options. Printed with every run.
#pragma once
#include "base/clock.h"
#include "daemon/frames.h"
#include "tests/sim/draws.h"
#include "tests/sim/points.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace rekindle::sim {

inline constexpr uint32_t kRequestsMin = 50;
inline constexpr uint32_t kFaultsMin = 5;

// How a client behaves.
struct ClientPlan {
    bool streamed = true;
    // Leaves once it has read that many tokens; or after that time.
    std::optional<uint32_t> leaves_after_tokens;
    std::optional<Nanoseconds> leaves_after;
    Nanoseconds read_pause{};  // Between two reads; the socket's buffer fills meanwhile.
    uint32_t retries = 0;      // After an error or a lost connection.
};

struct RequestPlan {
    Nanoseconds at{};  // From the start of the run.
    uint32_t model = 0;
    daemon::SubmitFrame submit;
    std::string project;
    ClientPlan client;
};

enum class FaultKind : uint8_t {
    kCrashAtPoint,  // The daemon dies at a named point.
    kRestart,       // Drain, stop, start.
    kWorkerCrash,
    kWorkerCrashInFrame,
    kWorkerStall,
    kWorkerLie,
    kSlowLedger,
    kSlowReads,
    kReadFault,
    kClockStep,
    kLedgerRefuses,  // Begins are refused as by a full queue.
    kSpareCrash,
};
inline constexpr uint32_t kFaultKinds = static_cast<uint32_t>(FaultKind::kSpareCrash) + 1;

std::string_view name_of(FaultKind kind) noexcept;

struct FaultPlan {
    Nanoseconds at{};
    FaultKind kind = FaultKind::kWorkerCrash;
    // kCrashAtPoint
    Point point = Point::kWalAfterWrite;
    uint32_t count = 1;
    CrashKind crash = CrashKind::kKill;
    // kClockStep, kWorkerStall, kSlow…
    Nanoseconds time{};
    uint32_t detail = 0;  // kWorkerLie: which; kReadFault: which.
};

struct Plan {
    uint32_t models = 3;
    uint32_t images_that_fit = 3;  // Host memory's size.
    uint32_t workers_max = 4;
    uint32_t spare_workers = 1;
    uint32_t kv_pages = 24;
    Nanoseconds idle = std::chrono::seconds(2);
    std::vector<RequestPlan> requests;
    std::vector<FaultPlan> faults;

    std::string describe() const;
};

// What a person may fix; the rest is drawn.
struct Options {
    uint64_t seed = 1;
    bool trace = false;
    bool faults = true;
    std::optional<Point> crash_at;  // Every daemon crash happens there.
    std::optional<uint32_t> requests;

    std::string command() const;  // To run this again.
};

Plan make_plan(const Options& options, Draws& draws);

}  // namespace rekindle::sim
