#include "daemon/instance_draft.h"

#include "base/log.h"
#include "daemon/worker_assign.h"

#include <utility>

namespace rekindle::daemon {

void InstanceDraft::reset() {
    state_ = State::kWaits;
    image_.reset();
    error_.reset();
}

void InstanceDraft::restoring(std::shared_ptr<snapshot::ResidentImage> image) {
    state_ = State::kRestores;
    image_ = std::move(image);
}

void InstanceDraft::assign(WorkerLink& link) {
    auto assignment = make_draft_assignment(*image_, options_.kv_bytes);
    if (!assignment) {
        failed(assignment.error());
        return;
    }
    link.hold(std::exchange(image_, nullptr));
    link.send_with_descriptors(Frame(std::move(assignment->frame)), std::move(assignment->files));
    state_ = State::kAssigned;
}

bool InstanceDraft::answered(const DraftAssignedFrame& frame) {
    if (state_ != State::kAssigned) {
        return false;
    }
    if (!frame.error.empty()) {
        failed(Error{frame.code, frame.error});
        return true;
    }
    state_ = State::kReady;
    log_info("draft_ready", {{"model", model_}, {"image", options_.image}});
    return true;
}

void InstanceDraft::failed(const Error& error) {
    state_ = State::kFailed;
    image_.reset();
    error_ = error.with_context("runtime.draft");
    log_warning("draft_not_ready", {{"model", model_}, {"reason", error.message}});
}

bool InstanceDraft::settled() const noexcept {
    return !wanted() || state_ == State::kReady || state_ == State::kFailed;
}

void InstanceDraft::describe(bool has_worker, DeploymentInfo& info) const {
    if (!wanted()) {
        return;
    }
    info.draft_image = options_.image;
    if (!has_worker) {
        return;
    }
    info.draft_state = state_ == State::kReady    ? "ready"
                       : state_ == State::kFailed ? "failed"
                                                  : "restoring";
    if (state_ != State::kFailed) {
        info.resident_bytes += options_.image_bytes;
    }
}

}  // namespace rekindle::daemon
