// An upkeep that plays a script: what it answers is fixed, what it is told is recorded.
// Threading: Upkeep's members on the io thread; a test reads what was seen after an answer came.
#pragma once
#include "daemon/upkeep.h"

#include <optional>
#include <string>
#include <vector>

namespace rekindle::daemon {

class FakeUpkeep final : public Upkeep {
public:
    Task<Result<GcReport>> gc(GcSpec spec) override;
    Task<Result<std::unique_ptr<VerifyStream>>> verify(VerifySpec spec) override;
    Task<Result<DeploymentInfo>> warm(std::string model, bool wait) override;
    Task<Result<DeploymentInfo>> cool(CoolSpec spec) override;

    std::optional<Error> error;         // Of everything but a check that has begun.
    std::optional<Error> verify_error;  // After the first line.
    std::vector<VerifyFault> faults;
    bool restoring = false;         // What is warmed.
    std::vector<std::string> seen;  // "gc dry pulled", "verify smol 50", "warm smol wait", …
};

}  // namespace rekindle::daemon
