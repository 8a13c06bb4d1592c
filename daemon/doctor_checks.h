// What the facts of a machine mean for Rekindle: one finding per subject, and beside what is not
// well the remedy. Pure functions. Threading: any.
#pragma once
#include "base/json.h"
#include "daemon/doctor_facts.h"

#include <string>
#include <string_view>
#include <vector>

namespace rekindle::daemon {

enum class Health {
    kOk,
    kFixed,    // By this run.
    kWarning,  // Works, but slower, less confined or less exact than it could.
    kFailed,   // rekindled can't work so.
};

struct Finding {
    std::string name;  // "huge_pages"; stable, for programs.
    Health health = Health::kOk;
    std::string found;   // One clause.
    std::string remedy;  // What to do, where health is kWarning or kFailed.
};

inline constexpr uint64_t kFreeBytesMin = 256ULL << 20;  // Below: failed. A ledger must have room.
inline constexpr uint64_t kFreeBytesLow = 4ULL << 30;    // Below: a warning.

std::vector<Finding> judge(const DoctorFacts& facts);

// Mends what can be mended from here (huge pages), then looks at it again; the finding says what
// was done, or which command does it.
void fix(const DoctorPlaces& places, DoctorFacts& facts, std::vector<Finding>& findings);

std::string_view health_name(Health health) noexcept;
// {"data_dir", "checks": […], "limits": {…}}: docs/cli.md, "doctor".
json::object doctor_report(const DoctorFacts& facts, const std::vector<Finding>& findings);
bool any_failed(const std::vector<Finding>& findings) noexcept;

}  // namespace rekindle::daemon
