#include "billing/report.h"

#include "tests/billing/billing_fixture.h"

#include <doctest/doctest.h>

using namespace rekindle;           // NOLINT(google-build-using-namespace): a test.
using namespace rekindle::billing;  // NOLINT(google-build-using-namespace): a test.

namespace {

UsageFinal of(const char* project, const char* model, Outcome outcome, uint32_t tokens) {
    RequestFacts facts = facts_of(1);
    facts.project = project;
    facts.model = model;
    UsageFinal usage = settle(facts, outcome, tokens, tokens, true);
    usage.finished_unix_ms = 1'700'000'000'000;  // 2023-11-14 22:13:20 UTC
    return usage;
}

std::vector<UsageRow> rows_of(const std::vector<std::string>& by,
                              const std::vector<UsageFinal>& finals) {
    auto table = UsageTable::make(by);
    REQUIRE(table.ok());
    for (const UsageFinal& usage : finals) {
        REQUIRE(table->add(usage).ok());
    }
    return std::move(*table).rows();
}

}  // namespace

TEST_CASE("rows add up what was billed, in the order of their groups") {
    const auto rows =
        rows_of({"project", "model"},
                {of("b", "m", Outcome::kCompleted, 3), of("a", "n", Outcome::kCompleted, 4),
                 of("a", "m", Outcome::kDisconnected, 5), of("a", "m", Outcome::kFailed, 6)});

    REQUIRE(rows.size() == 3);
    CHECK(rows[0].group == std::vector<std::string>{"a", "m"});
    CHECK(rows[0].requests == 2);
    CHECK(rows[0].prompt_tokens == 100);
    CHECK(rows[0].cached_tokens == 20);
    CHECK(rows[0].completion_tokens == 5);
    CHECK(rows[0].forgiven_tokens == 6);
    CHECK(rows[0].cost == 82'000 + 5 * 3000);
    CHECK(rows[1].group == std::vector<std::string>{"a", "n"});
    CHECK(rows[2].group == std::vector<std::string>{"b", "m"});
}

TEST_CASE("without columns there is one row for each currency") {
    UsageFinal euro = of("a", "m", Outcome::kCompleted, 3);
    euro.facts.currency = "EUR";
    const auto rows = rows_of(
        {}, {of("a", "m", Outcome::kCompleted, 3), euro, of("b", "m", Outcome::kCompleted, 3)});

    REQUIRE(rows.size() == 2);
    CHECK(rows[0].currency == "EUR");
    CHECK(rows[0].requests == 1);
    CHECK(rows[1].currency == "USD");
    CHECK(rows[1].requests == 2);
}

TEST_CASE("every column names what it says") {
    const auto rows =
        rows_of({"organization", "project", "key", "model", "revision", "outcome", "hour", "day"},
                {of("a", "m", Outcome::kCompleted, 3)});

    REQUIRE(rows.size() == 1);
    CHECK(rows[0].group == std::vector<std::string>{"default", "a", "default", "m", "r1",
                                                    "completed", "2023-11-14T22:00Z",
                                                    "2023-11-14"});
}

TEST_CASE("a column that does not exist, or stands twice, is refused") {
    CHECK(UsageTable::make({"colour"}).error().code == ErrorCode::kInvalidArgument);
    CHECK(UsageTable::make({"day", "day"}).error().code == ErrorCode::kInvalidArgument);
}

TEST_CASE("no more rows than the limit") {
    auto table = UsageTable::make({"model"});
    REQUIRE(table.ok());
    UsageFinal usage = of("a", "m", Outcome::kCompleted, 3);
    for (size_t i = 0; i < kUsageRowsMax; ++i) {
        usage.facts.model = std::to_string(i);
        REQUIRE(table->add(usage).ok());
    }
    CHECK(table->add(usage).ok());
    usage.facts.model = "one more";
    CHECK(table->add(usage).error().code == ErrorCode::kTooLarge);
}

TEST_CASE("a query takes requests that ended in its time, whatever the clock did meanwhile") {
    const TempFolder folder;
    const ManualClock clock;
    auto ledger = open_or_fail(folder.path(), clock);
    const std::vector<int64_t> minutes{0, 59, 60, 61, 30, 200, 5};  // The clock was set back twice.
    for (size_t i = 0; i < minutes.size(); ++i) {
        UsageFinal usage = final_of(i, Outcome::kCompleted, 1, 1);
        usage.finished_unix_ms = 472'222 * int64_t{3'600'000} + minutes[i] * 60'000;
        REQUIRE(begin(*ledger, facts_of(i)).ok());
        REQUIRE(finish(*ledger, usage).ok());
    }
    const auto count = [&](int64_t since, int64_t until) {
        UsageQuery query;
        query.since_unix_ms = 472'222 * int64_t{3'600'000} + since * 60'000;
        query.until_unix_ms = 472'222 * int64_t{3'600'000} + until * 60'000;
        const auto rows = ledger->usage(query);
        REQUIRE(rows.ok());
        return rows->empty() ? 0 : rows->front().requests;
    };
    CHECK(count(0, 1) == 1);
    CHECK(count(0, 60) == 4);
    CHECK(count(5, 60) == 3);
    CHECK(count(60, 61) == 1);
    CHECK(count(60, 62) == 2);
    CHECK(count(62, 200) == 0);
    CHECK(count(62, 201) == 1);
    CHECK(count(-100, 1000) == 7);
    CHECK(ledger->usage({})->front().requests == 7);
    CHECK(ledger->usage({.by = {"hour"}})->size() == 3);
    CHECK(ledger->usage({.by = {"nothing"}}).error().code == ErrorCode::kInvalidArgument);
    CHECK(ledger->verify()->faults.empty());
}
