#include "daemon/answer_stream.h"

#include "base/async/spawn.h"

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace rekindle;          // NOLINT(google-build-using-namespace): test file.
using namespace rekindle::daemon;  // NOLINT(google-build-using-namespace): test file.

namespace {

// Answers at once on the caller's thread, as the ledger's own thread would later.
class FakeLedger final : public billing::Ledger {
public:
    void begin(billing::RequestFacts facts, Done done) override {
        begun.push_back(std::move(facts));
        if (hold_begins) {
            held_begins.push_back(std::move(done));
            return;
        }
        done(refuse_begin ? Result<void>(Error{ErrorCode::kUnavailable, "the ledger stopped"})
                          : Result<void>());
    }
    void mark(std::vector<billing::ProgressMark> new_marks, Written written) override {
        ++mark_batches;
        for (const auto& mark : new_marks) {
            marks.push_back(mark.delivered_tokens);
        }
        held.push_back(std::move(written));
        if (!hold_marks) {
            write_marks();
        }
    }
    void write_begins() {
        for (const Done& done : std::exchange(held_begins, {})) {
            done({});
        }
    }
    void write_marks() {
        for (const Written& written : std::exchange(held, {})) {
            written();
        }
    }
    void finish(billing::UsageFinal record, Done done) override {
        finals.push_back(std::move(record));
        done({});
    }
    bool healthy() const noexcept override { return true; }
    Result<std::vector<billing::UsageRow>> usage(const billing::UsageQuery&) const override {
        return std::vector<billing::UsageRow>{};
    }
    Result<billing::UsageFinal> find(const billing::RequestId&) const override {
        return Error{ErrorCode::kNotFound, "none"};
    }
    Result<billing::LedgerReport> verify() const override { return billing::LedgerReport{}; }
    Result<void> copy_to(const std::string& /*folder*/) const override { return {}; }

    bool refuse_begin = false;
    std::vector<billing::RequestFacts> begun;
    std::vector<uint32_t> marks;
    uint32_t mark_batches = 0;
    bool hold_begins = false;  // Until write_begins().
    std::vector<Done> held_begins;
    bool hold_marks = false;  // Until write_marks().
    std::vector<Written> held;
    std::vector<billing::UsageFinal> finals;
};

class FakeUpstream final : public AnswerUpstream {
public:
    void send_frame(const Frame& frame) override { sent.push_back(frame); }
    void leave(AnswerStream& /*stream*/) override { ++left; }
    void accuse(const std::string& what) override { accusation = what; }

    // Total of the leases that were granted so far.
    uint32_t granted() const {
        uint32_t total = 0;
        for (const Frame& frame : sent) {
            if (const auto* go = std::get_if<GoFrame>(&frame)) {
                total += go->lease;
            } else if (const auto* lease = std::get_if<LeaseFrame>(&frame)) {
                total += lease->tokens;
            }
        }
        return total;
    }
    template <typename T>
    size_t count() const {
        size_t found = 0;
        for (const Frame& frame : sent) {
            found += std::holds_alternative<T>(frame) ? 1 : 0;
        }
        return found;
    }

    std::vector<Frame> sent;
    uint32_t left = 0;
    std::string accusation;
};

struct Fixture {
    asio::io_context context{1};
    ManualClock clock;
    FakeLedger ledger;
    MarkBatch marks{context, ledger};
    Watch watch{clock};
    FakeUpstream upstream;
    std::shared_ptr<AnswerStream> stream;
    std::unique_ptr<GenerateStream> handle;
    Gate gate{context};

    explicit Fixture(bool streamed, SubmitFrame submit = {}) {
        GenerateRequest request;
        request.submit = std::move(submit);
        request.model = "m";
        request.streamed = streamed;
        billing::RequestFacts facts;
        facts.model = "m";
        facts.price_input = 10;
        facts.price_cached = 4;
        facts.price_output = 100;
        facts.streamed = streamed;
        stream = std::make_shared<AnswerStream>(
            AnswerServices{context, clock, ledger, marks, watch}, std::move(request),
            std::move(facts), watch.traces.add(RequestTrace{.accepted_at = clock.monotonic()}));
        handle = make_answer_handle(stream);
        stream->submit(upstream, /*sequence=*/1, nullptr);
    }

    void turn() {
        context.restart();
        context.poll();
    }
    void tokenized(uint32_t prompt, uint32_t tokens_max) {
        stream->on_tokenized(
            TokenizedFrame{.id = 1, .prompt_tokens = prompt, .tokens_max = tokens_max});
        turn();
    }
    void tokens(std::string text, Finish finish) {
        stream->on_tokens(
            TokensFrame{.id = 1, .sampled = 1, .finish = finish, .text = std::move(text)});
        turn();
    }
    // Runs handle->next() to its end.
    Result<GenerateStream::Event> next() {
        std::optional<Result<GenerateStream::Event>> out;
        start_next(&out);
        REQUIRE(out.has_value());
        return std::move(*out);
    }
    void start_next(std::optional<Result<GenerateStream::Event>>* out) {
        auto task = take_next(out);
        spawn(context, "next", gate, std::move(task));
        turn();
    }
    Result<billing::UsageFinal> finish() {
        std::optional<Result<billing::UsageFinal>> out;
        auto task = take_finish(&out);
        spawn(context, "finish", gate, std::move(task));
        turn();
        REQUIRE(out.has_value());
        return std::move(*out);
    }

private:
    Task<> take_next(std::optional<Result<GenerateStream::Event>>* out) {
        auto event = co_await handle->next();
        out->emplace(std::move(event));
    }
    Task<> take_finish(std::optional<Result<billing::UsageFinal>>* out) {
        auto record = co_await handle->finish();
        out->emplace(std::move(record));
    }
};

std::shared_ptr<const ColdTrace> cold() {
    return std::make_shared<ColdTrace>(Nanoseconds{});
}

}  // namespace

TEST_CASE("input is debited before the worker may compute") {
    Fixture f(/*streamed=*/true);
    CHECK(f.upstream.count<SubmitFrame>() == 1);
    f.stream->on_tokenized(TokenizedFrame{.id = 1, .prompt_tokens = 12, .tokens_max = 100});
    REQUIRE(f.ledger.begun.size() == 1);
    CHECK(f.ledger.begun[0].prompt_tokens == 12);
    CHECK(f.upstream.count<GoFrame>() == 0);
    f.turn();
    CHECK(f.upstream.count<GoFrame>() == 1);
    CHECK(f.upstream.granted() <= 100);
}

TEST_CASE("a ledger that refuses keeps the worker from computing") {
    Fixture f(true);
    f.ledger.refuse_begin = true;
    f.tokenized(12, 100);
    CHECK(f.upstream.count<GoFrame>() == 0);
    CHECK(f.upstream.count<RefuseFrame>() == 1);
    CHECK(f.next().ok());  // The prompt's size was known already.
    CHECK(f.next().error().code == ErrorCode::kUnavailable);
    f.handle.reset();
    CHECK(f.ledger.finals.empty());
}

TEST_CASE("a finished stream bills what was sampled, once") {
    Fixture f(true);
    f.tokenized(12, 100);
    f.tokens("Hello", Finish::kNone);
    f.handle->delivered(1);
    f.tokens("", Finish::kStop);
    const auto record = f.finish();
    REQUIRE(record.ok());
    CHECK(record->outcome == billing::Outcome::kCompleted);
    CHECK(record->billed_prompt == 12);
    CHECK(record->billed_completion == 2);
    CHECK(record->cost == 12 * 10 + 2 * 100);
    f.handle.reset();
    CHECK(f.ledger.finals.size() == 1);
}

TEST_CASE("a client that leaves pays its prompt and what was delivered") {
    Fixture f(true);
    f.tokenized(12, 100);
    for (int i = 0; i < 5; ++i) {
        f.tokens("x", Finish::kNone);
    }
    f.handle->delivered(3);
    f.turn();
    f.handle.reset();
    REQUIRE(f.ledger.finals.size() == 1);
    CHECK(f.ledger.finals[0].outcome == billing::Outcome::kDisconnected);
    CHECK(f.ledger.finals[0].completion_tokens == 5);
    CHECK(f.ledger.finals[0].billed_completion == 3);
    CHECK(f.ledger.finals[0].billed_prompt == 12);
    CHECK(f.upstream.count<CancelFrame>() == 1);
    CHECK(f.upstream.left == 1);
}

TEST_CASE("a stream that we break bills nothing and forgives what was delivered") {
    Fixture f(true);
    f.tokenized(12, 100);
    f.tokens("x", Finish::kNone);
    f.handle->delivered(1);
    f.stream->on_failed(Error{ErrorCode::kUnavailable, "the worker died"});
    f.turn();
    f.handle.reset();
    REQUIRE(f.ledger.finals.size() == 1);
    CHECK(f.ledger.finals[0].outcome == billing::Outcome::kFailed);
    CHECK(f.ledger.finals[0].cost == 0);
    CHECK(f.ledger.finals[0].forgiven_tokens == 1);
}

TEST_CASE("a worker that samples beyond its lease is accused and its tokens are not relayed") {
    Fixture f(true);
    f.tokenized(12, 1);
    f.stream->on_tokens(TokensFrame{.id = 1, .sampled = 2, .text = "ab"});
    CHECK_FALSE(f.upstream.accusation.empty());
    f.stream->on_failed(Error{ErrorCode::kUnavailable, "killed"});
}

TEST_CASE("a worker that answers before Go is accused") {
    Fixture f(true);
    f.stream->on_tokens(TokensFrame{.id = 1, .sampled = 1, .text = "a"});
    CHECK_FALSE(f.upstream.accusation.empty());
    f.stream->on_failed(Error{ErrorCode::kUnavailable, "killed"});
}

TEST_CASE("the lease follows a reader who keeps up and waits for one who does not") {
    Fixture quick(true);
    quick.tokenized(1, 1000);
    for (int i = 0; i < 400; ++i) {
        quick.tokens("x", Finish::kNone);
        quick.handle->delivered(1);
    }
    CHECK(quick.upstream.accusation.empty());
    CHECK(quick.upstream.granted() >= 400);

    Fixture slow(true);
    slow.tokenized(1, 1000);
    uint32_t sampled = 0;
    while (sampled < slow.upstream.granted()) {
        slow.tokens("x", Finish::kNone);
        ++sampled;
    }
    CHECK(sampled < 400);  // The worker has to stop: nothing was taken.
    slow.handle->delivered(sampled);
    CHECK(slow.upstream.granted() > sampled);  // It may go on.
}

TEST_CASE("a request is tried again only while nothing was sampled, and only once") {
    Fixture f(true);
    CHECK(f.stream->retryable());
    f.stream->submit(f.upstream, 2, cold());
    CHECK_FALSE(f.stream->retryable());
    f.stream->on_failed(Error{ErrorCode::kUnavailable, "again"});
}

TEST_CASE("a second try does not debit the input twice") {
    Fixture f(true);
    f.tokenized(12, 100);
    f.stream->submit(f.upstream, 2, cold());
    f.tokenized(12, 100);
    CHECK(f.ledger.begun.size() == 1);
    CHECK(f.upstream.count<GoFrame>() == 2);
    f.stream->on_failed(Error{ErrorCode::kUnavailable, "enough"});
}

TEST_CASE("a worker that gives a prompt's size twice is accused, and the first size stands") {
    Fixture f(true);
    f.tokenized(12, 100);
    CHECK(f.next().ok());
    f.tokens("a", Finish::kNone);
    f.stream->on_tokenized(TokenizedFrame{.id = 1, .prompt_tokens = 3, .tokens_max = 100});
    CHECK(f.upstream.accusation == "gave a prompt's size twice");
    f.handle->delivered(1);  // What was sampled before can still be handed over.
    f.stream->on_failed(Error{ErrorCode::kUnavailable, "accused"});
}

TEST_CASE("cached tokens are billed at their price, once their count is plausible") {
    Fixture f(true);
    f.stream->on_tokenized(
        TokenizedFrame{.id = 1, .prompt_tokens = 65, .cached_tokens = 64, .tokens_max = 100});
    f.turn();
    REQUIRE(f.ledger.begun.size() == 1);
    CHECK(f.ledger.begun[0].cached_tokens == 64);
    f.tokens("a", Finish::kStop);
    const auto record = f.finish();
    REQUIRE(record.ok());
    CHECK(record->billed_prompt == 65);
    CHECK(record->billed_cached == 64);
    CHECK(record->cost == 1 * 10 + 64 * 4 + 1 * 100);
}

TEST_CASE("a worker that counts cached tokens that can't be is accused") {
    const auto accused = [](uint32_t prompt, uint32_t cached, bool echo) {
        Fixture f(true, SubmitFrame{.want_logprobs = echo, .echo = echo});
        f.stream->on_tokenized(TokenizedFrame{
            .id = 1, .prompt_tokens = prompt, .cached_tokens = cached, .tokens_max = 100});
        f.turn();
        const bool found = !f.upstream.accusation.empty();
        CHECK(f.ledger.begun.empty() == found);
        f.stream->on_failed(Error{ErrorCode::kUnavailable, "accused"});
        return found;
    };
    CHECK_FALSE(accused(65, 64, false));
    CHECK(accused(64, 64, false));  // The last token is always computed.
    CHECK(accused(65, 63, false));  // Whole pages alone.
    CHECK(accused(65, 96, false));
    CHECK(accused(65, 64, true));  // Its log-probabilities need all of the prompt.
    CHECK_FALSE(accused(65, 0, true));
}

TEST_CASE("a second worker that counts the same prompt otherwise is accused") {
    Fixture f(true);
    f.tokenized(12, 100);
    f.stream->submit(f.upstream, 2, cold());
    f.tokenized(13, 100);
    CHECK(f.upstream.accusation == "counts a prompt otherwise than the worker before it");
    CHECK(f.upstream.count<GoFrame>() == 1);
    f.stream->on_failed(Error{ErrorCode::kUnavailable, "accused"});
}

TEST_CASE("a second worker may not begin before the input is debited either") {
    Fixture f(true);
    f.ledger.hold_begins = true;
    f.tokenized(12, 100);
    f.stream->submit(f.upstream, 2, cold());
    f.tokenized(12, 100);
    CHECK(f.upstream.count<GoFrame>() == 0);
    f.ledger.write_begins();
    f.turn();
    CHECK(f.upstream.count<GoFrame>() == 1);
    f.stream->on_failed(Error{ErrorCode::kUnavailable, "enough"});
}

TEST_CASE("marks of one turn are written together, and the next step waits for them") {
    Fixture f(true);
    f.tokenized(12, 100);
    CHECK(f.next().ok());
    f.tokens("a", Finish::kNone);
    f.tokens("b", Finish::kNone);
    f.ledger.hold_marks = true;
    f.handle->delivered(1);
    f.handle->delivered(1);
    std::optional<Result<GenerateStream::Event>> step;
    f.start_next(&step);
    CHECK_FALSE(step.has_value());
    f.ledger.write_marks();
    f.turn();
    REQUIRE(step.has_value());
    CHECK(step->ok());
    CHECK(f.ledger.mark_batches == 1);
    CHECK(f.ledger.marks.back() == 2);
}

TEST_CASE("what the first layer held up a prompt for counts from Go, and not for a warm model") {
    const auto ms = [](int64_t count) { return Nanoseconds(std::chrono::milliseconds(count)); };
    const auto first_layer = [&](bool is_cold, int64_t asked_ms) {
        Fixture f(true);
        const Nanoseconds woken = f.clock.monotonic();
        const auto trace = std::make_shared<ColdTrace>(woken);
        f.stream->submit(f.upstream, 2, is_cold ? trace : nullptr);
        f.clock.advance(ms(10));
        f.tokenized(12, 100);  // Go.
        f.clock.advance(ms(30));
        const auto at = [&](int64_t count) {
            return static_cast<uint64_t>((woken + ms(count)).count());
        };
        trace->computed(
            {.parts = {{.asked_ns = at(asked_ms), .there_ns = at(20), .ended_ns = at(21)},
                       {.asked_ns = at(21), .there_ns = at(25), .ended_ns = at(26)},
                       {.asked_ns = at(26), .there_ns = at(35), .ended_ns = at(36)}}},
            f.clock.monotonic());
        f.tokens("a", Finish::kNone);
        return f.handle->times().first_layer;
    };
    CHECK(first_layer(true, 12) == ms(8 + 4));
    CHECK(first_layer(true, 5) == ms(10 + 4));  // Another request's step waited before that.
    CHECK(first_layer(false, 12) == ms(0));
}

TEST_CASE("the phases of a cold request follow each other and add up") {
    Fixture f(true);
    f.stream->submit(f.upstream, 2, cold());
    f.clock.advance(std::chrono::milliseconds(40));
    f.stream->on_restored(true, 0);
    f.tokenized(12, 100);
    f.clock.advance(std::chrono::milliseconds(10));
    f.tokens("a", Finish::kNone);
    f.clock.advance(std::chrono::milliseconds(5));
    f.tokens("b", Finish::kStop);
    const RequestTimes times = f.handle->times();
    CHECK(times.restore == std::chrono::milliseconds(40));
    CHECK(times.prefill == std::chrono::milliseconds(10));
    CHECK(times.decode == std::chrono::milliseconds(5));
}
