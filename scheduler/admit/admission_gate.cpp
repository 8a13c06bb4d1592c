#include "scheduler/admit/admission_gate.h"

#include "base/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace rekindle::scheduler {
namespace {

constexpr size_t kModelsRememberedMax = 4096;
constexpr double kAverageShare = 0.2;  // Of the newest stay: about the last five count.
constexpr double kRetryMinS = 1;
constexpr double kRetryMaxS = 30;

Result<void> check_fits(const Arrival& arrival) {
    if (arrival.context_max == 0) {
        return {};
    }
    const uint64_t context = arrival.context_max;
    if (arrival.prompt_tokens > context) {
        return Error{ErrorCode::kTooLarge,
                     fmt::format("the prompt has {} tokens, the context of {} is {}",
                                 arrival.prompt_tokens, arrival.model, context)};
    }
    if (arrival.prompt_bytes / kTokenTextBytesMax > context) {
        return Error{ErrorCode::kTooLarge,
                     fmt::format("the prompt has {} bytes, more than {} tokens, the context of {}, "
                                 "can stand for",
                                 arrival.prompt_bytes, context, arrival.model)};
    }
    return {};
}

}  // namespace

AdmissionGate::Pass::~Pass() {
    if (gate_ != nullptr) {
        gate_->leave(model_, entered_at_);
    }
}

AdmissionGate::~AdmissionGate() {
    REKINDLE_CHECK(inside_ == 0, "the gate outlives its passes");
}

Result<AdmissionGate::Pass> AdmissionGate::enter(const Arrival& arrival) {
    if (draining_) {
        return Error{ErrorCode::kUnavailable, "this node is shutting down"};
    }
    if (auto fits = check_fits(arrival); !fits) {
        return fits.error();
    }
    if (inside_ >= limits_.node_requests_max) {
        return overloaded("this node", limits_.node_requests_max, arrival.model);
    }
    const uint32_t model_max =
        arrival.requests_max == 0 ? limits_.model_requests_max : arrival.requests_max;
    if (inside(arrival.model) >= model_max) {
        return overloaded(arrival.model, model_max, arrival.model);
    }
    if (models_.size() >= kModelsRememberedMax) {  // Forgets averages, never counts.
        std::erase_if(models_, [](const auto& entry) { return entry.second.inside == 0; });
    }
    ++models_[arrival.model].inside;
    ++inside_;
    return Pass(this, arrival.model, clock_.monotonic());
}

void AdmissionGate::leave(const std::string& model, Nanoseconds entered_at) {
    const auto entry = models_.find(model);
    REKINDLE_CHECK(entry != models_.end() && entry->second.inside > 0, "a pass leaves once");
    Model& counts = entry->second;
    --counts.inside;
    --inside_;
    const double stay = std::chrono::duration<double>(clock_.monotonic() - entered_at).count();
    counts.stay_s = counts.stay_s == 0 ? stay : std::lerp(counts.stay_s, stay, kAverageShare);
}

uint32_t AdmissionGate::inside(std::string_view model) const {
    const auto entry = models_.find(model);
    return entry == models_.end() ? 0 : entry->second.inside;
}

std::chrono::seconds AdmissionGate::retry_after(std::string_view model) const {
    const auto entry = models_.find(model);
    if (entry == models_.end() || entry->second.inside == 0) {
        return std::chrono::seconds(static_cast<int64_t>(kRetryMinS));
    }
    // One of `inside` requests that end evenly over `stay_s` is the next to leave; a client that
    // comes back then meets others who do the same, so a quarter of the stay is waited instead.
    const double wait =
        std::max(entry->second.stay_s / entry->second.inside, entry->second.stay_s / 4);
    const double bounded = std::clamp(std::ceil(wait), kRetryMinS, kRetryMaxS);
    return std::chrono::seconds(static_cast<int64_t>(bounded));
}

Error AdmissionGate::overloaded(std::string_view whose, uint32_t limit,
                                std::string_view model) const {
    return Error{ErrorCode::kOverloaded,
                 fmt::format("{} has {} requests inside, its limit: try again in {} s", whose,
                             limit, retry_after(model).count())};
}

}  // namespace rekindle::scheduler
