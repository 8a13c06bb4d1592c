#include "daemon/self_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

namespace rekindle::daemon {
namespace {

// Words, digits, punctuation and letters beyond ASCII: some twenty tokens of most vocabularies,
// fewer than a page of the cache holds, so nothing of it is kept.
constexpr const char* kText = "The capital of France is Paris; 2 + 2 = 4. Grüße,";
constexpr uint32_t kSampled = 4;
constexpr uint8_t kTop = 5;

// Between our kernel tables the text differs by rounding: by 0.02 to 0.06 in the mean and by 0.3 at
// most (docs/decisions/0017-self-check.md). A wrong kernel or tensor moves it by whole units.
constexpr float kMeanMax = 0.2F;
constexpr float kDifferenceMax = 1.0F;

Error difference(size_t at, const SelfCheck& recorded, const std::string& what) {
    return Error{ErrorCode::kCorrupt, fmt::format("token {} of {} in its self-check {}", at + 1,
                                                  recorded.tokens.size(), what)};
}

bool same_bits(float a, float b) noexcept {
    return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b);
}

std::string expected_and_got(float expected, float got) {
    return fmt::format("has log-probability {} instead of {}", got, expected);
}

// Of two lists of likeliest tokens.
const CheckCandidate* find_candidate(const std::vector<CheckCandidate>& top, int32_t token) {
    const auto found = std::ranges::find(top, token, &CheckCandidate::token);
    return found == top.end() ? nullptr : &*found;
}

Result<void> compare_shape(const SelfCheck& recorded, const SelfCheck& found) {
    if (recorded.tokens.size() != found.tokens.size()) {
        return Error{ErrorCode::kCorrupt, fmt::format("its self-check has {} tokens instead of {}",
                                                      found.tokens.size(), recorded.tokens.size())};
    }
    return {};
}

Result<void> compare_exactly(const SelfCheck& recorded, const SelfCheck& found) {
    for (size_t i = 0; i < recorded.tokens.size(); ++i) {
        const CheckedToken& was = recorded.tokens[i];
        const CheckedToken& is = found.tokens[i];
        if (was.token != is.token) {
            return difference(i, recorded, fmt::format("is {} instead of {}", is.token, was.token));
        }
        if (!same_bits(was.logprob, is.logprob)) {
            return difference(i, recorded, expected_and_got(was.logprob, is.logprob));
        }
        const auto same = [](const CheckCandidate& a, const CheckCandidate& b) {
            return a.token == b.token && same_bits(a.logprob, b.logprob);
        };
        if (!std::ranges::equal(was.top, is.top, same)) {
            return difference(i, recorded, "has other likeliest tokens beside it");
        }
    }
    return {};
}

// The last token was sampled again: with other rounding it may be another one.
Result<void> compare_within_rounding(const SelfCheck& recorded, const SelfCheck& found) {
    double sum = 0;
    size_t count = 0;
    for (size_t i = 0; i < recorded.tokens.size(); ++i) {
        for (const CheckCandidate& was : recorded.tokens[i].top) {
            const CheckCandidate* const is = find_candidate(found.tokens[i].top, was.token);
            if (is == nullptr) {
                continue;  // It left the list; what of the list is left tells how far they are off.
            }
            const float by = std::abs(was.logprob - is->logprob);
            if (!(by <= kDifferenceMax)) {
                return difference(i, recorded, expected_and_got(was.logprob, is->logprob));
            }
            sum += by;
            ++count;
        }
    }
    const size_t compared_min = recorded.tokens.size() * kTop / 2;
    if (count < compared_min || !(sum / static_cast<double>(count) <= kMeanMax)) {
        return Error{
            ErrorCode::kCorrupt,
            fmt::format("the log-probabilities of its self-check are off by {:.3f} in the "
                        "mean ({} compared); other kernels explain {}",
                        count == 0 ? 0 : sum / static_cast<double>(count), count, kMeanMax)};
    }
    return {};
}

bool finite(const CheckedToken& token) {
    return std::isfinite(token.logprob) && std::ranges::all_of(token.top, [](const auto& entry) {
               return std::isfinite(entry.logprob);
           });
}

Error malformed() {
    return Error{ErrorCode::kCorrupt, "a recorded self-check is malformed"};
}

bool read_candidates(const json::value* list, std::vector<CheckCandidate>& out) {
    if (list == nullptr || !list->is_array() || list->get_array().size() > kCheckTopMax) {
        return false;
    }
    for (const json::value& item : list->get_array()) {
        const auto* object = item.if_object();
        const auto token = object ? get_integer(*object, "token") : malformed();
        const auto logprob = object ? get_number(*object, "logprob") : malformed();
        if (!token || !*token || !logprob || !*logprob) {
            return false;
        }
        out.push_back({static_cast<int32_t>(**token), static_cast<float>(**logprob)});
    }
    return true;
}

Result<CheckedToken> parse_token(const json::value& item) {
    const auto* object = item.if_object();
    if (object == nullptr) {
        return malformed();
    }
    const auto token = get_integer(*object, "token");
    const auto logprob = get_number(*object, "logprob");
    CheckedToken out;
    if (!token || !*token || !logprob || !*logprob ||
        !read_candidates(object->if_contains("top"), out.top)) {
        return malformed();
    }
    out.token = static_cast<int32_t>(**token);
    out.logprob = static_cast<float>(**logprob);
    return out;
}

SubmitFrame greedy(uint64_t id) {
    return {.id = id,
            .temperature = 0,
            .ignore_eos = true,
            .want_logprobs = true,
            .top_logprobs = kTop,
            .echo = true};
}

}  // namespace

SubmitFrame record_request(uint64_t id) {
    SubmitFrame submit = greedy(id);
    submit.kind = PromptKind::kText;
    submit.text = kText;
    submit.tokens_max = kSampled;
    return submit;
}

SubmitFrame replay_request(uint64_t id, const SelfCheck& recorded) {
    SubmitFrame submit = greedy(id);
    submit.kind = PromptKind::kTokens;
    for (size_t i = 0; i + 1 < recorded.tokens.size(); ++i) {
        submit.tokens.push_back(recorded.tokens[i].token);
    }
    submit.tokens_max = 1;
    return submit;
}

bool CheckAnswer::add(const TokensFrame& frame) {
    if (items_.size() <= kCheckTokensMax) {
        items_.insert(items_.end(), frame.logprobs.begin(), frame.logprobs.end());
    }
    return frame.finish != Finish::kNone;
}

Result<SelfCheck> CheckAnswer::take(CheckKey key) {
    if (items_.size() < 2 || items_.size() > kCheckTokensMax) {
        return Error{ErrorCode::kCorrupt,
                     fmt::format("its self-check came back with {} tokens", items_.size())};
    }
    SelfCheck check{.key = std::move(key), .tokens = {}};
    for (const LogprobItem& item : items_) {
        CheckedToken token{.token = item.token, .logprob = item.logprob, .top = {}};
        if (check.tokens.empty()) {
            token.logprob = 0;
        }
        for (const LogprobItem& beside : item.top) {
            token.top.push_back({beside.token, beside.logprob});
        }
        if (!finite(token)) {
            return difference(check.tokens.size(), {.key = {}, .tokens = {items_.size(), token}},
                              "has a log-probability that is no number");
        }
        check.tokens.push_back(std::move(token));
    }
    return check;
}

Result<void> compare_checks(const SelfCheck& recorded, const SelfCheck& found) {
    auto shaped = compare_shape(recorded, found);
    if (!shaped) {
        return shaped;
    }
    return recorded.key == found.key ? compare_exactly(recorded, found)
                                     : compare_within_rounding(recorded, found);
}

json::object check_json(const SelfCheck& check) {
    json::array tokens;
    for (const CheckedToken& token : check.tokens) {
        json::array top;
        for (const CheckCandidate& beside : token.top) {
            top.push_back(json::object{{"token", beside.token}, {"logprob", beside.logprob}});
        }
        tokens.push_back(json::object{
            {"token", token.token}, {"logprob", token.logprob}, {"top", std::move(top)}});
    }
    return {{"build", check.key.build},
            {"kernels", check.key.kernels},
            {"kv_type", check.key.kv_type},
            {"tokens", std::move(tokens)}};
}

Result<SelfCheck> parse_check(const json::object& object) {
    SelfCheck check;
    const auto text = [&object](std::string_view key, std::string& out) {
        auto value = get_string(object, key);
        const bool there = value && *value;
        if (there) {
            out = std::move(**value);
        }
        return there;
    };
    if (!text("build", check.key.build) || !text("kernels", check.key.kernels) ||
        !text("kv_type", check.key.kv_type)) {
        return malformed();
    }
    const json::value* tokens = object.if_contains("tokens");
    if (tokens == nullptr || !tokens->is_array() || tokens->get_array().size() < 2 ||
        tokens->get_array().size() > kCheckTokensMax) {
        return malformed();
    }
    for (const json::value& item : tokens->get_array()) {
        auto token = parse_token(item);
        if (!token) {
            return token.error();
        }
        check.tokens.push_back(std::move(token).value());
    }
    return check;
}

}  // namespace rekindle::daemon
