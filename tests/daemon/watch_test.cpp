#include "daemon/watch.h"

#include "daemon/metered_ledger.h"

#include <doctest/doctest.h>

#include <chrono>
#include <utility>
#include <vector>

using namespace rekindle;
using namespace rekindle::daemon;
using namespace std::chrono_literals;

namespace {

billing::RequestId id_of(uint32_t number) {
    billing::RequestId id;
    for (size_t i = 0; i < sizeof(number); ++i) {
        id.bytes[i] = static_cast<std::byte>(number >> (8 * i));
    }
    return id;
}

// Keeps what it is given until it is told how it went.
class SlowLedger final : public billing::Ledger {
public:
    void begin(billing::RequestFacts /*facts*/, Done done) override { waiting.push_back(done); }
    void mark(std::vector<billing::ProgressMark> /*marks*/, Written written) override { written(); }
    void finish(billing::UsageFinal /*usage*/, Done done) override { waiting.push_back(done); }

    bool healthy() const noexcept override { return true; }

    Result<std::vector<billing::UsageRow>> usage(
        const billing::UsageQuery& /*query*/) const override {
        return std::vector<billing::UsageRow>();
    }

    Result<billing::UsageFinal> find(const billing::RequestId& /*id*/) const override {
        return Error{ErrorCode::kNotFound, ""};
    }

    Result<billing::LedgerReport> verify() const override { return billing::LedgerReport(); }
    Result<void> copy_to(const std::string& /*folder*/) const override { return {}; }

    std::vector<Done> waiting;
};

billing::UsageFinal usage_of(const billing::RequestId& id) {
    billing::RequestFacts facts;
    facts.id = id;
    facts.model = "m";
    facts.project = "p";
    facts.price_input = 3;
    facts.price_cached = 1;
    facts.price_output = 10;
    facts.prompt_tokens = 7;
    facts.cached_tokens = 2;
    return billing::settle(facts, billing::Outcome::kCompleted, 4, 4, true);
}

struct Fixture {
    asio::io_context context{1};
    ManualClock clock;
    Watch watch{clock};
    SlowLedger slow;
    MeteredLedger ledger{{slow, context, clock, watch}};

    void answer(Result<void> result) {
        const auto done = slow.waiting.front();
        slow.waiting.erase(slow.waiting.begin());
        done(std::move(result));
        context.restart();
        context.run();
    }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "money is counted when its record is durable, by meter, exactly") {
    const auto usage = usage_of(id_of(1));
    ledger.finish(usage, [](const Result<void>&) {});
    CHECK(watch.metrics.own.cost.series() == 0);
    answer({});
    const auto cost = [this](const char* meter) {
        return watch.metrics.own.cost.value({"m", "p", meter, "USD"});
    };
    CHECK(cost("input") == 15);
    CHECK(cost("cached_input") == 2);
    CHECK(cost("output") == 40);
    CHECK(cost("input") + cost("cached_input") + cost("output") == usage.cost);
    CHECK(watch.metrics.own.requests_settled.value({"m", "completed"}) == 1);
}

TEST_CASE_FIXTURE(Fixture, "a record that could not be written is no money") {
    ledger.finish(usage_of(id_of(1)), [](const Result<void>&) {});
    answer(Error{ErrorCode::kIo, "disk"});
    CHECK(watch.metrics.own.cost.series() == 0);
}

TEST_CASE_FIXTURE(Fixture, "the ledger's lag is the age of the oldest record without an answer") {
    CHECK_FALSE(ledger.lag().has_value());
    ledger.begin({}, [](const Result<void>&) {});
    clock.advance(2s);
    ledger.begin({}, [](const Result<void>&) {});
    clock.advance(1s);
    CHECK(ledger.lag() == 3s);
    ledger.refresh_metrics();
    CHECK(watch.metrics.own.ledger_queue.value({}) == 2.0);
    CHECK(watch.metrics.own.ledger_lag.value({}) == 3.0);
    answer({});
    CHECK(ledger.lag() == 1s);
    answer({});
    CHECK_FALSE(ledger.lag().has_value());
    CHECK(watch.metrics.own.ledger_write.count({"begin"}) == 2);
}

TEST_CASE_FIXTURE(Fixture, "a request's trace learns its bill when that is durable") {
    const auto trace = watch.traces.add({.id = id_of(9), .accepted_at = clock.monotonic()});
    ledger.finish(usage_of(id_of(9)), [](const Result<void>&) {});
    CHECK_FALSE(trace->bill.has_value());
    answer({});
    REQUIRE(trace->bill.has_value());
    CHECK(trace_json(*trace).at("cost") == "0.000000000057");
    CHECK(trace_json(*trace).at("state") == "settled");
}

TEST_CASE("the ring keeps so many traces, and the oldest one leaves") {
    TraceRing ring;
    for (uint32_t i = 0; i < kTracesMax; ++i) {
        ring.add({.id = id_of(i)});
    }
    CHECK(ring.size() == kTracesMax);
    CHECK(ring.find(id_of(0)) != nullptr);
    ring.add({.id = id_of(kTracesMax)});
    CHECK(ring.size() == kTracesMax);
    CHECK(ring.find(id_of(0)) == nullptr);
    CHECK(ring.find(id_of(1)) != nullptr);
    CHECK(ring.find(id_of(kTracesMax)) != nullptr);
}

TEST_CASE("a trace shows the phases that happened, in order, from its acceptance on") {
    RequestTrace trace{.accepted_at = 1s, .cold = true};
    trace.admitted_at = 1s;
    trace.worker_at = 1s + 2ms;
    trace.tokenized_at = 1s + 4ms;
    const auto shown = trace_json(trace);
    const auto& phases = shown.at("phases").as_array();
    REQUIRE(phases.size() == 3);
    CHECK(phases[0].at("phase") == "gate 1");
    CHECK(phases[1].at("phase") == "worker");
    CHECK(phases[2].at("phase") == "tokenize");
    CHECK(phases[2].at("start_ms") == 2.0);
    CHECK(phases[2].at("end_ms") == 4.0);
    CHECK(shown.at("state") == "waiting");
}

TEST_CASE("what the ledger alone knows of a request says so and has no phases") {
    const auto shown = trace_json(usage_of(id_of(1)));
    CHECK(shown.at("source") == "ledger");
    CHECK_FALSE(shown.contains("phases"));
    CHECK(shown.at("completion_tokens") == 4);
}
