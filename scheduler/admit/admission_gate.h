// Gate 1: whether a request may enter the node at all, decided before anything is woken. Bounds the
// requests inside (waiting and running) per model and in total, so that every queue behind it has a
// limit, and refuses prompts that cannot fit.
// Invariant: a Pass counts until it is destroyed; refusal changes nothing.
// Threading: one thread. Ownership: the gate outlives its passes.
#pragma once
#include "base/clock.h"
#include "base/result.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace rekindle::scheduler {

struct AdmissionLimits {
    uint32_t model_requests_max = 256;  // Inside at once, for one model.
    uint32_t node_requests_max = 1024;
};

struct Arrival {
    std::string model;
    // Of a text prompt; 0 when it came as tokens.
    uint64_t prompt_bytes = 0;
    uint64_t prompt_tokens = 0;  // Known only when it came as tokens.
    uint32_t context_max = 0;    // Of the deployment; 0: not known yet.
    uint32_t requests_max = 0;   // Inside at once, of the deployment; 0: the gate's own limit.
};

// No token of a vocabulary that images hold stands for more bytes of text: the front door refuses
// only what no tokenizer could make fit. Exact sizes are checked when the prompt is tokenized.
inline constexpr uint64_t kTokenTextBytesMax = 512;

class AdmissionGate {
public:
    class [[nodiscard]] Pass {
    public:
        Pass(Pass&& other) noexcept
            : gate_(std::exchange(other.gate_, nullptr)),
              model_(std::move(other.model_)),
              entered_at_(other.entered_at_) {}

        Pass& operator=(Pass&&) = delete;
        ~Pass();

    private:
        friend class AdmissionGate;

        Pass(AdmissionGate* gate, std::string model, Nanoseconds entered_at)
            : gate_(gate), model_(std::move(model)), entered_at_(entered_at) {}

        AdmissionGate* gate_;
        std::string model_;
        Nanoseconds entered_at_;
    };

    AdmissionGate(AdmissionLimits limits, const Clock& clock) : limits_(limits), clock_(clock) {}

    AdmissionGate(const AdmissionGate&) = delete;
    AdmissionGate& operator=(const AdmissionGate&) = delete;
    ~AdmissionGate();

    // kUnavailable while draining, kTooLarge for a prompt that cannot fit, kOverloaded at a limit.
    Result<Pass> enter(const Arrival& arrival);

    // From now on nothing enters; what is inside ends in its own time.
    void drain() noexcept { draining_ = true; }

    bool draining() const noexcept { return draining_; }

    uint32_t inside() const noexcept { return inside_; }

    uint32_t inside(std::string_view model) const;
    // For Retry-After: when a place should be free, by how long requests have taken of late.
    // From 1 s to 30 s.
    std::chrono::seconds retry_after(std::string_view model) const;

private:
    struct Model {
        uint32_t inside = 0;
        double stay_s = 0;  // Moving average of how long a request stays inside.
    };

    void leave(const std::string& model, Nanoseconds entered_at);
    Error overloaded(std::string_view whose, uint32_t limit, std::string_view model) const;

    const AdmissionLimits limits_;
    const Clock& clock_;
    // Models that were called since start, at most kModelsRememberedMax idle ones.
    std::map<std::string, Model, std::less<>> models_;
    uint32_t inside_ = 0;
    bool draining_ = false;
};

}  // namespace rekindle::scheduler
