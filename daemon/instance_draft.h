// The draft model of one model's workers: its image comes into memory after the model's, then the
// worker gets it. What goes wrong on the way is logged and told; the model answers without guesses
// of it. Threading: the io thread. Ownership: its model's instance.
#pragma once
#include "base/result.h"
#include "daemon/frames.h"
#include "daemon/node.h"
#include "daemon/worker_link.h"
#include "snapshot/tiers/host_tier.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace rekindle::daemon {

struct DraftOptions {
    std::string image;  // Digest; empty: no draft model.
    uint64_t image_bytes = 0;
    uint64_t kv_bytes = 0;
};

class InstanceDraft {
public:
    InstanceDraft(DraftOptions options, std::string model)
        : options_(std::move(options)), model_(std::move(model)) {}

    bool wanted() const noexcept { return !options_.image.empty(); }

    const std::string& image() const noexcept { return options_.image; }

    // There is no worker, or a new one.
    void reset();
    void restoring(std::shared_ptr<snapshot::ResidentImage> image);
    // It is whole: hands it to the worker.
    void assign(WorkerLink& link);
    // False when the worker was not asked.
    bool answered(const DraftAssignedFrame& frame);
    void failed(const Error& error);

    // Nothing more will become of it with this worker.
    bool settled() const noexcept;
    const std::optional<Error>& error() const noexcept { return error_; }
    void describe(bool has_worker, DeploymentInfo& info) const;

private:
    enum class State : uint8_t { kWaits, kRestores, kAssigned, kReady, kFailed };

    const DraftOptions options_;
    const std::string model_;
    State state_ = State::kWaits;
    std::shared_ptr<snapshot::ResidentImage> image_;  // Until its worker holds it.
    std::optional<Error> error_;
};

}  // namespace rekindle::daemon
