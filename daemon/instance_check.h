// The self-check of one instance's worker: asked for when the worker has accepted its image, over
// before any request begins. Requests render and tokenize meanwhile; their Go is held back.
// Invariant: what is held back is given out only after a check that passed.
// Threading: the io thread.
#pragma once
#include "base/clock.h"
#include "daemon/self_check.h"

#include <optional>
#include <vector>

namespace rekindle::daemon {

enum class CheckMode {
    kNone,
    kReplay,  // Compare with what was recorded; without that, record.
    kRecord,
};

class InstanceCheck {
public:
    // Of its frames; those of requests begin at 1.
    static constexpr uint64_t kSequence = 0;

    // A worker is on its way, and nothing begins before its check, if there is to be one.
    void expect(CheckMode mode);
    // The worker has gone.
    void abandon();
    // A check is to come or under way.
    bool pending() const noexcept { return pending_; }

    CheckMode mode() const noexcept { return mode_; }

    // The request for the worker; `recorded` is what it will be compared with, if there is one.
    Frame begin(std::optional<SelfCheck> recorded, CheckKey key, Nanoseconds now);
    // Takes a request's Go as long as a check is pending.
    bool hold(const Frame& frame);

    // Frames of the check. The answer to the worker, if one is due; else see over().
    std::optional<Frame> on_tokenized(const TokenizedFrame& frame);
    void on_tokens(const TokensFrame& frame);
    bool over() const noexcept { return outcome_.has_value(); }

    struct Outcome {
        std::optional<SelfCheck> recorded;  // To be kept: with its key there was none.
        std::vector<Frame> held;
        Nanoseconds begun{};
    };

    // Once it is over: what to do now, or why the worker must not serve: kUnsupported for a model
    // that nothing could be recorded of, else kCorrupt or what the worker said.
    Result<Outcome> take();

private:
    void end(Result<SelfCheck> found);

    CheckMode mode_ = CheckMode::kNone;
    bool pending_ = false;
    bool running_ = false;
    std::optional<SelfCheck> expected_;
    CheckKey key_;
    CheckAnswer answer_;
    Nanoseconds begun_{};
    std::vector<Frame> held_;
    std::optional<Result<SelfCheck>> outcome_;
};

}  // namespace rekindle::daemon
