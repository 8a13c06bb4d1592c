#include "billing/usage_event.h"

#include "base/check.h"
#include "base/hash.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

namespace rekindle::billing {
namespace {

constexpr std::string_view kIdPrefix = "req_";
constexpr size_t kIdTimeBytes = 6;  // Milliseconds since 1970 fit 48 bits until the year 10889.

// -1 for anything but a lower-case digit: every id has one spelling.
int hex_digit(char c) noexcept {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

struct Billed {
    bool prompt = false;
    uint32_t completion = 0;
};

Billed decide(const RequestFacts& facts, Outcome outcome, uint32_t delivered, bool prefill_began) {
    switch (outcome) {
        case Outcome::kCompleted:
            return {.prompt = true, .completion = delivered};
        case Outcome::kDisconnected:
            // An abandoned whole answer: nothing of it was of use, but the prompt was computed.
            return {.prompt = prefill_began, .completion = facts.streamed ? delivered : 0};
        case Outcome::kCrashed:
            // Only what a mark proves; a request that had sent nothing is one that we broke.
            return {.prompt = prefill_began && delivered > 0,
                    .completion = prefill_began ? delivered : 0};
        case Outcome::kFailed:
            return {};
        case Outcome::kOpen:
            break;
    }
    REKINDLE_CHECK(false, "an open request is not settled");
    return {};
}

}  // namespace

std::string RequestId::text() const {
    return std::string(kIdPrefix) + to_hex(bytes);
}

Result<RequestId> RequestId::parse(std::string_view text) {
    RequestId id;
    const Error malformed{ErrorCode::kInvalidArgument,
                          "request id: must be \"req_\" and 32 lower-case hexadecimal digits"};
    if (!text.starts_with(kIdPrefix) || text.size() != kIdPrefix.size() + 2 * id.bytes.size()) {
        return malformed;
    }
    text.remove_prefix(kIdPrefix.size());
    for (size_t i = 0; i < id.bytes.size(); ++i) {
        const int high = hex_digit(text[2 * i]);
        const int low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            return malformed;
        }
        id.bytes[i] = static_cast<std::byte>(high * 16 + low);
    }
    return id;
}

RequestId RequestId::make(const Clock& clock, Entropy& entropy) {
    RequestId id;
    entropy.fill(id.bytes);
    const auto wall = std::chrono::duration_cast<std::chrono::milliseconds>(clock.wall());
    const auto ms = static_cast<uint64_t>(std::max<int64_t>(wall.count(), 0));
    for (size_t i = 0; i < kIdTimeBytes; ++i) {
        id.bytes[i] = static_cast<std::byte>(ms >> (8 * (kIdTimeBytes - 1 - i)));
    }
    return id;
}

std::string_view outcome_name(Outcome outcome) noexcept {
    switch (outcome) {
        case Outcome::kOpen:
            return "open";
        case Outcome::kCompleted:
            return "completed";
        case Outcome::kDisconnected:
            return "disconnected";
        case Outcome::kFailed:
            return "failed";
        case Outcome::kCrashed:
            return "crashed";
    }
    return "open";
}

UsageFinal settle(const RequestFacts& facts, Outcome outcome, uint32_t completion,
                  uint32_t delivered, bool prefill_began) {
    REKINDLE_CHECK(delivered <= completion, "a token is sampled before it is delivered");
    const Billed billed = decide(facts, outcome, delivered, prefill_began);
    UsageFinal out;
    out.facts = facts;
    out.outcome = outcome;
    out.completion_tokens = completion;
    out.delivered_tokens = delivered;
    out.billed_prompt = billed.prompt ? facts.prompt_tokens : 0;
    out.billed_cached = std::min(facts.cached_tokens, out.billed_prompt);
    out.billed_completion = billed.completion;
    out.forgiven_tokens = outcome == Outcome::kFailed ? delivered : 0;
    out.cost = price_of(out);
    return out;
}

PicoAmount price_of(const UsageFinal& usage) noexcept {
    const RequestFacts& facts = usage.facts;
    const PicoAmount fresh = PicoAmount{usage.billed_prompt} - usage.billed_cached;
    return fresh * facts.price_input + PicoAmount{usage.billed_cached} * facts.price_cached +
           PicoAmount{usage.billed_completion} * facts.price_output;
}

Result<void> check_facts(const RequestFacts& facts) {
    const auto refuse = [&facts](std::string_view why) {
        return Error{ErrorCode::kInvalidArgument, fmt::format("{}: {}", facts.id.text(), why)};
    };
    for (const std::string* name : {&facts.organization, &facts.project, &facts.key, &facts.model,
                                    &facts.revision, &facts.currency}) {
        if (name->empty() || name->size() > kLedgerNameBytesMax) {
            return refuse(fmt::format("a name of {} bytes; a record holds 1 to {}", name->size(),
                                      kLedgerNameBytesMax));
        }
    }
    if (facts.price_input < 0 || facts.price_cached < 0 || facts.price_output < 0) {
        return refuse("a price is negative");
    }
    if (facts.cached_tokens > facts.prompt_tokens) {
        return refuse(fmt::format("{} cached tokens of a prompt of {}", facts.cached_tokens,
                                  facts.prompt_tokens));
    }
    return {};
}

Result<void> check_final(const UsageFinal& usage) {
    if (auto facts = check_facts(usage.facts); !facts) {
        return facts;
    }
    const auto refuse = [&usage](std::string_view why) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("{}: {}", usage.facts.id.text(), why)};
    };
    if (usage.outcome == Outcome::kOpen || usage.outcome > Outcome::kCrashed) {
        return refuse("a final record needs an outcome");
    }
    if (usage.delivered_tokens > usage.completion_tokens) {
        return refuse(fmt::format("{} tokens delivered of {} sampled", usage.delivered_tokens,
                                  usage.completion_tokens));
    }
    if (usage.facts.started_unix_ms < 0 || usage.finished_unix_ms < 0) {
        return refuse("a time before 1970");
    }
    for (const bool prefill_began : {false, true}) {
        const UsageFinal due = settle(usage.facts, usage.outcome, usage.completion_tokens,
                                      usage.delivered_tokens, prefill_began);
        if (due.billed_prompt == usage.billed_prompt && due.billed_cached == usage.billed_cached &&
            due.billed_completion == usage.billed_completion &&
            due.forgiven_tokens == usage.forgiven_tokens && due.cost == usage.cost) {
            return {};
        }
    }
    return refuse(fmt::format("billed {} + {} tokens at {} ({}), which the rules do not give",
                              usage.billed_prompt, usage.billed_completion,
                              format_amount(usage.cost), outcome_name(usage.outcome)));
}

}  // namespace rekindle::billing
