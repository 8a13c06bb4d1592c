#include "daemon/instance_check.h"

#include "base/check.h"

#include <utility>
#include <variant>

namespace rekindle::daemon {

void InstanceCheck::expect(CheckMode mode) {
    abandon();
    mode_ = mode;
    pending_ = mode != CheckMode::kNone;
}

void InstanceCheck::abandon() {
    *this = InstanceCheck();
}

Frame InstanceCheck::begin(std::optional<SelfCheck> recorded, CheckKey key, Nanoseconds now) {
    REKINDLE_CHECK(pending_ && !running_, "a check is begun once");
    running_ = true;
    begun_ = now;
    key_ = std::move(key);
    expected_ = std::move(recorded);
    return expected_ ? Frame(replay_request(kSequence, *expected_))
                     : Frame(record_request(kSequence));
}

bool InstanceCheck::hold(const Frame& frame) {
    if (!pending_ || !std::holds_alternative<GoFrame>(frame)) {
        return false;
    }
    held_.push_back(frame);
    return true;
}

std::optional<Frame> InstanceCheck::on_tokenized(const TokenizedFrame& frame) {
    if (!running_ || over()) {
        return std::nullopt;
    }
    if (!frame.error.empty()) {
        end(Error{frame.code, "self-check: " + frame.error});
        return std::nullopt;
    }
    return Frame(GoFrame{kSequence, frame.tokens_max});
}

void InstanceCheck::on_tokens(const TokensFrame& frame) {
    if (running_ && !over() && answer_.add(frame)) {
        end(answer_.take(key_));
    }
}

void InstanceCheck::end(Result<SelfCheck> found) {
    if (!found && !expected_) {  // Nothing says that anything is wrong but the text.
        found = Error{ErrorCode::kUnsupported, found.error().message};
    }
    if (found && expected_) {
        const auto compared = compare_checks(*expected_, *found);
        if (!compared) {
            found = compared.error();
        }
    }
    outcome_ = std::move(found);
}

Result<InstanceCheck::Outcome> InstanceCheck::take() {
    REKINDLE_CHECK(over(), "an outcome is taken when there is one");
    Result<SelfCheck> found = std::move(*outcome_);
    const bool known = expected_ && expected_->key == key_;
    Outcome outcome{.recorded = std::nullopt, .held = std::move(held_), .begun = begun_};
    abandon();
    if (!found) {
        return found.error();
    }
    if (!known) {
        outcome.recorded = std::move(found).value();
    }
    return outcome;
}

}  // namespace rekindle::daemon
