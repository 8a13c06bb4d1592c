// A short text and what a model made of it when it was deployed: the log-probability of each token
// and of the likeliest ones beside it. A model whose weights, tables or kernels are not what they
// were gives others.
// Invariant: one that was recorded has finite numbers only.
// Threading: none; plain values and pure functions.
#pragma once
#include "base/json.h"
#include "base/result.h"
#include "daemon/frames.h"

#include <cstdint>
#include <string>
#include <vector>

namespace rekindle::daemon {

// What the bits of a model's numbers depend on, beside its image.
struct CheckKey {
    std::string build;
    std::string kernels;
    std::string kv_type;

    bool operator==(const CheckKey&) const = default;
};

struct CheckCandidate {
    int32_t token = 0;
    float logprob = 0;
};

struct CheckedToken {
    int32_t token = 0;
    float logprob = 0;                // Of the first one: 0, nothing stands before it.
    std::vector<CheckCandidate> top;  // The likeliest ones in its place; the first one has none.
};

struct SelfCheck {
    CheckKey key;
    std::vector<CheckedToken> tokens;  // Of the text, and what the model went on with.
};

inline constexpr uint32_t kCheckTokensMax = 64;  // Of one; its text has some twenty.
inline constexpr uint32_t kCheckTopMax = kTopLogprobsMax;

// Asks a worker to read the text and go on with a few tokens.
SubmitFrame record_request(uint64_t id);
// Asks it to read what was recorded: all of it in one step.
SubmitFrame replay_request(uint64_t id, const SelfCheck& recorded);

// What came back, gathered from frames.
class CheckAnswer {
public:
    // True with the last frame.
    bool add(const TokensFrame& frame);
    // kCorrupt when the numbers are none, or too many.
    Result<SelfCheck> take(CheckKey key);

private:
    std::vector<LogprobItem> items_;
};

// kCorrupt with the first difference that counts. With the same key every bit must be the same;
// else differences of rounding are let through (docs/decisions/0017-self-check.md).
Result<void> compare_checks(const SelfCheck& recorded, const SelfCheck& found);

json::object check_json(const SelfCheck& check);
Result<SelfCheck> parse_check(const json::object& object);

}  // namespace rekindle::daemon
