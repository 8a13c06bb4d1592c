// One try of a client to get an answer: what it asked, what it saw, what it should have seen. The
// oracle compares this with the ledger when the run is over.
#pragma once
#include "billing/usage_event.h"
#include "tests/sim/images.h"
#include "tests/sim/plan.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace rekindle::sim {

// What the model says to a request, token by token; computed without any of the serving code but
// the rule of how tokens become text.
struct Expected {
    uint32_t prompt_tokens = 0;
    uint32_t sampled = 0;                  // Of the whole answer.
    std::vector<runtime::TokenId> tokens;  // Of prompt and answer.
    std::vector<size_t> text_after;        // Bytes of `text` that are final after n tokens, from 0.
    std::string text;
    bool too_long = false;  // The context can't hold it: refused.
};

// `context`: positions that the worker has.
Expected expect(const Images& images, const Image& image, const daemon::SubmitFrame& submit,
                uint32_t context);

enum class Ending : uint8_t {
    kNone,   // Still under way.
    kDone,   // The last event, or the whole answer.
    kError,  // An error, before or inside the stream.
    kLeft,   // The client left.
    kCut,    // The daemon died.
};

std::string_view name_of(Ending ending) noexcept;

struct Delivery {
    Nanoseconds at{};
    uint32_t total = 0;  // Tokens so far.
};

struct Attempt {
    uint32_t number = 0;
    uint32_t request = 0;  // Of the plan.
    uint32_t retry = 0;
    uint32_t incarnation = 0;
    billing::RequestId id;
    const Image* image = nullptr;
    const RequestPlan* plan = nullptr;
    Expected expected;

    Nanoseconds began_at{};
    Nanoseconds ended_at{};
    Ending ending = Ending::kNone;
    uint32_t endings = 0;  // Must be 1 at the end.
    std::string error;
    ErrorCode error_code = ErrorCode::kInternal;
    bool accepted = false;  // generate() gave a stream.
    bool prompt_ready = false;
    uint32_t relayed = 0;  // Sampled tokens that the stream gave.
    std::string text;
    std::vector<Delivery> deliveries;
    uint32_t last_write = 0;  // Tokens of the last write.
    bool finish_called = false;
    uint32_t sampled_at_finish = 0;
    std::optional<billing::UsageFinal> acknowledged;  // What finish() answered with success.
    std::optional<CrashKind> crash;
    Nanoseconds crash_at{};

    uint32_t delivered() const noexcept { return deliveries.empty() ? 0 : deliveries.back().total; }
    uint32_t delivered_by(Nanoseconds time) const noexcept;
};

}  // namespace rekindle::sim
