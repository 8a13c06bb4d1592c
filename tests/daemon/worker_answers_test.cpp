#include "daemon/worker_answers.h"

#include "base/clock.h"
#include "tests/batch/batch_fixture.h"
#include "tests/tokenizer/support.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

using namespace rekindle;          // NOLINT(google-build-using-namespace): test file.
using namespace rekindle::daemon;  // NOLINT(google-build-using-namespace): test file.
using scheduler::FinishReason;
using scheduler::TokenEvent;

namespace {

struct Fixture {
    void begin(uint64_t id, std::vector<std::string> stop) {
        answers.begin(SubmitFrame{.id = id, .want_logprobs = true, .stop = std::move(stop)}, {1});
    }

    // What one step samples when it says `text`.
    std::vector<TokenEvent> say(uint64_t id, std::string_view text) const {
        std::vector<TokenEvent> events;
        for (const runtime::TokenId token : words.encode(text, false)) {
            events.push_back({.id = id, .token = token});
        }
        return events;
    }

    std::vector<TokensFrame> frames_of(const std::vector<TokenEvent>& events) {
        std::vector<TokensFrame> frames;
        std::vector<Frame> added;
        answers.add_frames(events, added, cancelled);
        for (const Frame& frame : added) {
            frames.push_back(std::get<TokensFrame>(frame));
        }
        return frames;
    }

    tests::BatchFixture batch;
    test::OpenTokenizer words = test::open_tokenizer(test::small_vocabulary("gpt-2"));
    ManualClock clock;
    WorkerAnswers answers{words.tokenizer, clock, *batch.engine};
    std::vector<uint64_t> cancelled;
};

}  // namespace

TEST_CASE("the tokens that a step samples for an answer go in one frame, in their order") {
    Fixture fixture;
    fixture.begin(1, {});
    fixture.begin(2, {});
    auto events = fixture.say(1, "one two three");
    const size_t of_first = events.size();
    REQUIRE(of_first > 2);
    const auto others = fixture.say(2, "four");
    events.insert(events.end(), others.begin(), others.end());
    const auto frames = fixture.frames_of(events);
    REQUIRE(frames.size() == 2);
    CHECK(frames[0].id == 1);
    CHECK(frames[0].sampled == of_first);
    CHECK(frames[0].logprobs.size() == of_first);
    CHECK(frames[0].text == "one two three");
    CHECK(frames[0].finish == Finish::kNone);
    CHECK(frames[1].id == 2);
    CHECK(frames[1].text == "four");
}

TEST_CASE("what a step samples behind a stop string is neither said nor counted") {
    Fixture fixture;
    fixture.begin(1, {"stop"});
    fixture.begin(2, {});
    auto events = fixture.say(1, "go on");
    const auto until = fixture.say(1, " and stop");
    events.insert(events.end(), until.begin(), until.end());
    const size_t counted = events.size();
    for (const TokenEvent& event : fixture.say(1, " or go on")) {
        events.push_back(event);
    }
    events.back().finish = FinishReason::kLength;  // The batch has let go of it already.
    for (const TokenEvent& event : fixture.say(2, "yes")) {
        events.push_back(event);
    }
    const auto frames = fixture.frames_of(events);
    REQUIRE(frames.size() == 2);
    CHECK(frames[0].sampled == counted);
    CHECK(frames[0].logprobs.size() == counted);
    CHECK(frames[0].text == "go on and ");
    CHECK(frames[0].matched_stop == "stop");
    CHECK(frames[0].finish == Finish::kStop);
    CHECK(fixture.cancelled == std::vector<uint64_t>{1});
    CHECK_FALSE(fixture.answers.has(1));
    CHECK(frames[1].text == "yes");
    CHECK(frames[1].finish == Finish::kNone);
}

TEST_CASE("a step that ends an answer says so in the frame that has its tokens") {
    Fixture fixture;
    fixture.begin(1, {});
    auto events = fixture.say(1, "the end");
    const size_t counted = events.size();
    events.back().finish = FinishReason::kLength;
    const auto frames = fixture.frames_of(events);
    REQUIRE(frames.size() == 1);
    CHECK(frames[0].sampled == counted);
    CHECK(frames[0].text == "the end");
    CHECK(frames[0].finish == Finish::kLength);
    CHECK(fixture.cancelled.empty());
}
