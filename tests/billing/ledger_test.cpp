#include "tests/billing/billing_fixture.h"

#include <doctest/doctest.h>

#include <atomic>
#include <limits>
#include <thread>
#include <vector>

using namespace rekindle;           // NOLINT(google-build-using-namespace): a test.
using namespace rekindle::billing;  // NOLINT(google-build-using-namespace): a test.

TEST_CASE("a request that ended is found again, after reopening too") {
    const TempFolder folder;
    const ManualClock clock;
    const UsageFinal usage = final_of(1, Outcome::kCompleted, 7, 7);
    {
        auto ledger = open_or_fail(folder.path(), clock);
        REQUIRE(begin(*ledger, facts_of(1)).ok());
        REQUIRE(finish(*ledger, usage).ok());
        CHECK(*ledger->find(id_of(1)) == usage);
    }
    const auto ledger = open_or_fail(folder.path(), clock);

    CHECK(*ledger->find(id_of(1)) == usage);
    CHECK(ledger->find(id_of(2)).error().code == ErrorCode::kNotFound);
    CHECK(ledger->verify()->faults.empty());
    CHECK(ledger->verify()->records == 2);
}

TEST_CASE("an id begins once and ends once") {
    const TempFolder folder;
    const ManualClock clock;
    auto ledger = open_or_fail(folder.path(), clock);
    REQUIRE(begin(*ledger, facts_of(1)).ok());

    CHECK(begin(*ledger, facts_of(1)).error().code == ErrorCode::kConflict);
    REQUIRE(finish(*ledger, final_of(1, Outcome::kCompleted, 7, 7)).ok());
    CHECK(finish(*ledger, final_of(1, Outcome::kCompleted, 7, 7)).error().code ==
          ErrorCode::kConflict);
    CHECK(begin(*ledger, facts_of(1)).error().code == ErrorCode::kConflict);
    CHECK(finish(*ledger, final_of(2, Outcome::kCompleted, 7, 7)).error().code ==
          ErrorCode::kNotFound);
    CHECK(ledger->verify()->records == 2);
    CHECK(ledger->verify()->faults.empty());
}

TEST_CASE("an id that ended before a restart is still known") {
    const TempFolder folder;
    const ManualClock clock;
    {
        auto ledger = open_or_fail(folder.path(), clock);
        REQUIRE(begin(*ledger, facts_of(1)).ok());
        REQUIRE(finish(*ledger, final_of(1, Outcome::kCompleted, 7, 7)).ok());
    }
    auto ledger = open_or_fail(folder.path(), clock);

    CHECK(begin(*ledger, facts_of(1)).error().code == ErrorCode::kConflict);
    CHECK(finish(*ledger, final_of(1, Outcome::kCompleted, 7, 7)).error().code ==
          ErrorCode::kConflict);
}

TEST_CASE("a final record with other facts, or an amount of its own, is refused") {
    const TempFolder folder;
    const ManualClock clock;
    auto ledger = open_or_fail(folder.path(), clock);
    REQUIRE(begin(*ledger, facts_of(1)).ok());
    RequestFacts cheaper = facts_of(1);
    cheaper.price_output = 1;
    UsageFinal free = final_of(1, Outcome::kCompleted, 7, 7);
    free.cost = 0;

    CHECK(finish(*ledger, settle(cheaper, Outcome::kCompleted, 7, 7, true)).error().code ==
          ErrorCode::kInvalidArgument);
    CHECK(finish(*ledger, free).error().code == ErrorCode::kInvalidArgument);
    CHECK(finish(*ledger, final_of(1, Outcome::kCompleted, 7, 7)).ok());
}

TEST_CASE("begin, marks and final of one request in one batch bill the final") {
    const TempFolder folder;
    const ManualClock clock;
    const UsageFinal usage = final_of(1, Outcome::kDisconnected, 9, 8);
    auto ledger = open_or_fail(folder.path(), clock);
    std::promise<Result<void>> done;

    ledger->begin(facts_of(1), [](const Result<void>&) {});
    ledger->mark({{id_of(1), 3}}, nullptr);
    ledger->mark({{id_of(1), 5}, {id_of(99), 4}}, nullptr);
    ledger->finish(usage, [&done](Result<void> result) { done.set_value(std::move(result)); });

    CHECK(done.get_future().get().ok());
    CHECK(*ledger->find(id_of(1)) == usage);
    CHECK(ledger->find(id_of(99)).error().code == ErrorCode::kNotFound);
}

TEST_CASE("an open request shows its last mark, and marks only rise") {
    const TempFolder folder;
    const ManualClock clock;
    auto ledger = open_or_fail(folder.path(), clock);
    REQUIRE(begin(*ledger, facts_of(1)).ok());
    mark(*ledger, 1, 5);
    mark(*ledger, 1, 3);

    const auto open = ledger->find(id_of(1));

    REQUIRE(open.ok());
    CHECK(open->outcome == Outcome::kOpen);
    CHECK(open->delivered_tokens == 5);
    CHECK(open->facts == facts_of(1));
    CHECK(ledger->verify()->open_requests == 1);
    CHECK(ledger->usage({})->empty());
}

TEST_CASE("requests that were left open are closed by their last mark at the next start") {
    const TempFolder folder;
    const ManualClock clock;
    {
        auto ledger = open_or_fail(folder.path(), clock);
        REQUIRE(begin(*ledger, facts_of(1)).ok());
        REQUIRE(begin(*ledger, facts_of(2)).ok());
        REQUIRE(begin(*ledger, facts_of(3)).ok());
        mark(*ledger, 1, 5);
        mark(*ledger, 2, 0);
    }
    const auto ledger = open_or_fail(folder.path(), clock);
    const auto marked = ledger->find(id_of(1));
    const auto prefilled = ledger->find(id_of(2));
    const auto begun = ledger->find(id_of(3));

    REQUIRE(marked.ok());
    CHECK(marked->outcome == Outcome::kCrashed);
    CHECK(marked->billed_completion == 5);
    CHECK(marked->billed_prompt == 100);
    CHECK(marked->finished_unix_ms == 1'700'000'000'000);
    CHECK(prefilled->outcome == Outcome::kCrashed);
    CHECK(prefilled->cost == 0);
    CHECK(begun->outcome == Outcome::kCrashed);
    CHECK(begun->cost == 0);
    CHECK(ledger->verify()->faults.empty());
    CHECK(ledger->verify()->open_requests == 0);
}

TEST_CASE("a second opener is told that another has the ledger") {
    const TempFolder folder;
    const ManualClock clock;
    const auto ledger = open_or_fail(folder.path(), clock);

    const auto second = Ledger::open(folder.path(), clock);

    REQUIRE_FALSE(second.ok());
    CHECK(second.error().code == ErrorCode::kConflict);
    CHECK(audit_ledger(folder.path()).error().code == ErrorCode::kConflict);
}

TEST_CASE("a folder that cannot be made is an error that names it") {
    const ManualClock clock;
    const auto ledger = Ledger::open("/proc/self/ledger", clock);

    REQUIRE_FALSE(ledger.ok());
    CHECK(ledger.error().message.find("/proc/self/ledger") != std::string::npos);
}

TEST_CASE("every record of many threads is there once") {
    constexpr uint64_t kThreads = 4;
    constexpr uint64_t kRequests = 500;
    const TempFolder folder;
    const ManualClock clock;
    auto ledger = open_or_fail(folder.path(), clock);
    std::atomic<uint64_t> begun = 0;
    std::atomic<uint64_t> ended = 0;
    std::vector<std::thread> threads;
    for (uint64_t t = 0; t < kThreads; ++t) {
        threads.emplace_back([&, t] {
            for (uint64_t i = 0; i < kRequests; ++i) {
                const uint64_t number = 1 + i * kThreads + t;
                ledger->begin(facts_of(number), [&](const Result<void>& r) { begun += r.ok(); });
                ledger->mark({{id_of(number), 1}}, nullptr);
                ledger->finish(final_of(number, Outcome::kCompleted, 2, 2),
                               [&](const Result<void>& r) { ended += r.ok(); });
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    ledger.reset();  // Writes what is queued.
    CHECK(begun == kThreads * kRequests);
    CHECK(ended == kThreads * kRequests);

    const auto reopened = open_or_fail(folder.path(), clock);
    const auto report = reopened->verify();
    REQUIRE(report.ok());
    CHECK(report->faults.empty());
    CHECK(report->records == 2 * kThreads * kRequests);
    CHECK(report->open_requests == 0);
    const auto rows = reopened->usage({});
    REQUIRE(rows->size() == 1);
    CHECK(rows->front().requests == kThreads * kRequests);
    CHECK(rows->front().completion_tokens == 2 * kThreads * kRequests);
}

TEST_CASE("a begin beyond the open requests' limit is refused, a final never") {
    const TempFolder folder;
    const ManualClock clock;
    JournalOptions options;
    options.open_requests_max = 2;
    auto ledger = std::move(open_ledger(folder.path(), clock, options)).value();
    REQUIRE(begin(*ledger, facts_of(1)).ok());
    REQUIRE(begin(*ledger, facts_of(2)).ok());

    CHECK(begin(*ledger, facts_of(3)).error().code == ErrorCode::kOverloaded);
    CHECK(finish(*ledger, final_of(1, Outcome::kCompleted, 7, 7)).ok());
    CHECK(begin(*ledger, facts_of(3)).ok());
}

TEST_CASE("a copy is a whole ledger of its own, made while the first is written") {
    const TempFolder folder;
    const TempFolder other;
    const ManualClock clock;
    auto ledger = open_or_fail(folder.path(), clock);
    constexpr uint64_t kRequests = 400;
    for (uint64_t i = 1; i <= 10; ++i) {
        REQUIRE(begin(*ledger, facts_of(i)).ok());
        REQUIRE(finish(*ledger, final_of(i, Outcome::kCompleted, 7, 7)).ok());
    }
    std::thread writer([&ledger] {
        for (uint64_t i = 11; i <= kRequests; ++i) {
            static_cast<void>(begin(*ledger, facts_of(i)));
            static_cast<void>(finish(*ledger, final_of(i, Outcome::kCompleted, 7, 7)));
        }
    });
    const std::string path = other.path() + "/copy";
    const auto copied = ledger->copy_to(path);
    writer.join();
    REQUIRE(copied.ok());
    CHECK(ledger->verify()->records == 2 * kRequests);

    const auto audit = audit_ledger(path);
    REQUIRE(audit.ok());
    CHECK(audit->faults.empty());
    CHECK(audit->records >= 20);  // All that was acknowledged before.
    const auto copy = open_or_fail(path, clock);
    for (uint64_t i = 1; i <= 10; ++i) {
        CHECK(copy->find(id_of(i)).ok());
    }
    REQUIRE(begin(*copy, facts_of(kRequests + 1)).ok());
    CHECK(ledger->find(id_of(kRequests + 1)).error().code == ErrorCode::kNotFound);
    CHECK_FALSE(ledger->copy_to(path).ok());
}
