#include "tests/front/fake_upkeep.h"

#include <fmt/format.h>

#include <utility>

namespace rekindle::daemon {
namespace {

class FakeVerify final : public VerifyStream {
public:
    FakeVerify(std::optional<Error> error, std::vector<VerifyFault> faults)
        : error_(std::move(error)), faults_(std::move(faults)) {}

    Task<Result<Event>> next() override {
        if (!std::exchange(told_, true)) {
            co_return Event(VerifyProgress{.done = 10, .total = 20});
        }
        if (error_) {
            co_return *error_;
        }
        co_return Event(VerifyReport{.images = 1, .chunks = 2, .bytes = 20, .faults = faults_});
    }

private:
    const std::optional<Error> error_;
    const std::vector<VerifyFault> faults_;
    bool told_ = false;
};

DeploymentInfo moved(std::string name, std::string tier) {
    return {.name = std::move(name), .tier = std::move(tier)};
}

}  // namespace

Task<Result<GcReport>> FakeUpkeep::gc(GcSpec spec) {
    seen.push_back(fmt::format("gc{}{}", spec.dry_run ? " dry" : "", spec.pulled ? " pulled" : ""));
    if (error) {
        co_return *error;
    }
    co_return GcReport{.dry_run = spec.dry_run,
                       .images = {"aa", "bb"},
                       .kept = {"cc"},
                       .bytes_freed = 4096,
                       .bytes_kept = 8192};
}

Task<Result<std::unique_ptr<VerifyStream>>> FakeUpkeep::verify(VerifySpec spec) {
    seen.push_back(fmt::format("verify {} {}", spec.model, spec.share_percent));
    if (error) {
        co_return *error;
    }
    std::unique_ptr<VerifyStream> stream = std::make_unique<FakeVerify>(verify_error, faults);
    co_return stream;
}

Task<Result<DeploymentInfo>> FakeUpkeep::warm(std::string model, bool wait) {
    seen.push_back(fmt::format("warm {} {}", model, wait ? "wait" : "begin"));
    if (error) {
        co_return *error;
    }
    DeploymentInfo info = moved(std::move(model), "worker");
    info.restoring = restoring;
    co_return info;
}

Task<Result<DeploymentInfo>> FakeUpkeep::cool(CoolSpec spec) {
    const bool to_disk = spec.to == CoolTo::kDisk;
    seen.push_back(
        fmt::format("cool {} {} {}", spec.model, to_disk ? "disk" : "host", spec.wait.count()));
    if (error) {
        co_return *error;
    }
    co_return moved(std::move(spec.model), to_disk ? "disk" : "memory");
}

}  // namespace rekindle::daemon
