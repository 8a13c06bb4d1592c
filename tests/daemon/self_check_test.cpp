#include "daemon/self_check.h"

#include "daemon/self_check_store.h"

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <utility>

using namespace rekindle;
using namespace rekindle::daemon;

namespace {

const CheckKey kHere{"1.0", "avx512_vnni", "f16"};
const CheckKey kElsewhere{"1.1", "avx2", "f16"};

LogprobItem item(int32_t token, float logprob) {
    LogprobItem out{.token = token, .logprob = logprob};
    for (int32_t i = 0; i < 5; ++i) {
        out.top.push_back({.token = 100 + i, .logprob = -0.5F * static_cast<float>(i + 1)});
    }
    return out;
}

// Six tokens that were read, two that were sampled.
Result<SelfCheck> answered(const CheckKey& key, float changed = -1.25F) {
    CheckAnswer answer;
    constexpr float kNone = std::numeric_limits<float>::quiet_NaN();
    TokensFrame first{.sampled = 1, .logprobs = {{.token = 1, .logprob = kNone}}};
    for (int32_t token = 2; token <= 7; ++token) {
        first.logprobs.push_back(item(token, token == 4 ? changed : -1.25F));
    }
    CHECK_FALSE(answer.add(first));
    CHECK(answer.add({.sampled = 1, .finish = Finish::kLength, .logprobs = {item(8, -0.25F)}}));
    return answer.take(key);
}

SelfCheck check_of(const CheckKey& key) {
    return answered(key).value();
}

struct Folder {
    Folder() : path(std::filesystem::temp_directory_path() / "rekindle_self_check_test") {
        std::filesystem::remove_all(path);
    }
    ~Folder() { std::filesystem::remove_all(path); }
    std::filesystem::path path;
};

}  // namespace

TEST_CASE("what was recorded is asked for again in one step, but for its last token") {
    const SelfCheck check = check_of(kHere);
    REQUIRE(check.tokens.size() == 8);
    const SubmitFrame replay = replay_request(0, check);
    CHECK(replay.tokens == std::vector<int32_t>{1, 2, 3, 4, 5, 6, 7});
    CHECK(replay.tokens_max == 1);
    CHECK(replay.temperature == 0);
    CHECK(needs_prompt_logprobs(replay));
    CHECK(needs_prompt_logprobs(record_request(0)));
}

TEST_CASE("with one build and kernel table every bit must be the same") {
    CHECK(compare_checks(check_of(kHere), check_of(kHere)).ok());
    const auto changed = answered(kHere, std::nextafter(-1.25F, 0.0F));
    const auto compared = compare_checks(check_of(kHere), *changed);
    REQUIRE_FALSE(compared.ok());
    CHECK(compared.error().code == ErrorCode::kCorrupt);
    CHECK(compared.error().message ==
          "token 4 of 8 in its self-check has log-probability -1.2499999 instead of -1.25");
    SelfCheck other = check_of(kHere);
    other.tokens[7].token = 9;
    CHECK_FALSE(compare_checks(check_of(kHere), other).ok());
    other = check_of(kHere);
    other.tokens[2].top[4].logprob = -2;
    CHECK_FALSE(compare_checks(check_of(kHere), other).ok());
}

TEST_CASE("with another kernel table rounding is let through, and nothing that is more") {
    const auto shifted = [](float by) {
        SelfCheck check = check_of(kElsewhere);
        for (CheckedToken& token : check.tokens) {
            for (CheckCandidate& beside : token.top) {
                beside.logprob += by;
            }
        }
        return check;
    };
    const SelfCheck recorded = check_of(kHere);
    CHECK(compare_checks(recorded, shifted(0.15F)).ok());
    CHECK_FALSE(compare_checks(recorded, shifted(0.25F)).ok());
    SelfCheck one_far = check_of(kElsewhere);
    one_far.tokens[3].top[0].logprob -= 0.9F;
    CHECK(compare_checks(recorded, one_far).ok());
    one_far.tokens[3].top[0].logprob -= 0.2F;
    CHECK_FALSE(compare_checks(recorded, one_far).ok());
    SelfCheck others = check_of(kElsewhere);
    for (CheckedToken& token : others.tokens) {
        for (CheckCandidate& beside : token.top) {
            beside.token += 1000;
        }
    }
    CHECK_FALSE(compare_checks(recorded, others).ok());
}

TEST_CASE("a check of another length is another one") {
    SelfCheck shorter = check_of(kHere);
    shorter.tokens.pop_back();
    CHECK_FALSE(compare_checks(check_of(kHere), shorter).ok());
}

TEST_CASE("numbers that are none, and too many tokens, are no self-check") {
    CHECK_FALSE(answered(kHere, std::numeric_limits<float>::quiet_NaN()).ok());
    CHECK_FALSE(answered(kHere, -std::numeric_limits<float>::infinity()).ok());
    const auto with = [](size_t tokens) {
        CheckAnswer answer;
        answer.add(
            {.finish = Finish::kLength, .logprobs = std::vector<LogprobItem>(tokens, item(1, -1))});
        return answer.take(kHere).ok();
    };
    CHECK(with(kCheckTokensMax));
    CHECK_FALSE(with(kCheckTokensMax + 1));
    CHECK_FALSE(with(1));
}

TEST_CASE("a self-check survives its file to the bit") {
    const auto back = parse_check(check_json(check_of(kHere)));
    REQUIRE(back.ok());
    CHECK(back->key == kHere);
    CHECK(compare_checks(check_of(kHere), *back).ok());
    json::object broken = check_json(check_of(kHere));
    broken["tokens"].as_array()[1].as_object().erase("logprob");
    CHECK_FALSE(parse_check(broken).ok());
    broken = check_json(check_of(kHere));
    broken.erase("kernels");
    CHECK_FALSE(parse_check(broken).ok());
}

TEST_CASE("an image has one check for each key, the best suited one is found, and few are kept") {
    const Folder folder;
    SelfCheckStore store(folder.path.string());
    CHECK_FALSE(store.find("a", kHere).has_value());
    const CheckKey wide{"1.0", "avx512_vnni", "q8_0"};
    REQUIRE(store.put("a", check_of(kElsewhere)).ok());
    REQUIRE(store.put("a", check_of(wide)).ok());
    CHECK(store.find("a", kHere)->key == kElsewhere);  // The same type of KV cache.
    REQUIRE(store.put("a", check_of(kHere)).ok());
    REQUIRE(store.put("a", check_of(kHere)).ok());
    CHECK(store.find("a", kHere)->key == kHere);
    CHECK_FALSE(store.find("b", kHere).has_value());
    for (size_t i = 0; i < kChecksPerImageMax; ++i) {
        CheckKey key = kElsewhere;
        key.build = std::to_string(i);
        REQUIRE(store.put("a", check_of(key)).ok());
    }
    CHECK(store.find("a", kHere)->key != kHere);  // It was the oldest one.
    store.remove("a");
    CHECK_FALSE(store.find("a", kElsewhere).has_value());
}

TEST_CASE("a damaged file of checks counts as none, and the next one replaces it") {
    const Folder folder;
    SelfCheckStore store(folder.path.string());
    REQUIRE(store.put("a", check_of(kHere)).ok());
    std::ofstream(folder.path / "a.json") << "{\"checks\": [{}]}";
    CHECK_FALSE(store.find("a", kHere).has_value());
    REQUIRE(store.put("a", check_of(kHere)).ok());
    CHECK(store.find("a", kHere).has_value());
}
