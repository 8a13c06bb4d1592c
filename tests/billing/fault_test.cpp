#include "tests/billing/billing_fixture.h"
#include "tests/billing/fault_file_system.h"

#include <doctest/doctest.h>

#include <atomic>

using namespace rekindle;           // NOLINT(google-build-using-namespace): a test.
using namespace rekindle::billing;  // NOLINT(google-build-using-namespace): a test.

namespace {

std::unique_ptr<Ledger> open_with(const std::string& folder, const Clock& clock,
                                  rocksdb::Env* env) {
    JournalOptions options;
    options.env = env;
    auto ledger = open_ledger(folder, clock, options);
    REQUIRE_MESSAGE(ledger.ok(), (ledger.ok() ? "" : ledger.error().message));
    return std::move(ledger).value();
}

}  // namespace

TEST_CASE("after a failed sync nothing is accepted any more, and the reason is told") {
    const TempFolder folder;
    const ManualClock clock;
    std::atomic<bool> broken = false;
    LogFaults faults;
    faults.at_sync = [&broken] {
        return broken ? rocksdb::IOStatus::IOError("sync", "Input/output error")
                      : rocksdb::IOStatus::OK();
    };
    const auto env = make_faulty_env(faults);
    {
        auto ledger = open_with(folder.path(), clock, env.get());
        REQUIRE(begin(*ledger, facts_of(1)).ok());
        REQUIRE(finish(*ledger, final_of(1, Outcome::kCompleted, 7, 7)).ok());
        REQUIRE(begin(*ledger, facts_of(2)).ok());
        CHECK(ledger->healthy());
        broken = true;

        const auto failed = finish(*ledger, final_of(2, Outcome::kCompleted, 7, 7));
        broken = false;  // Too late: the kernel may have dropped the pages that it could not write.
        const auto refused_begin = begin(*ledger, facts_of(3));
        const auto refused_final = finish(*ledger, final_of(2, Outcome::kCompleted, 7, 7));

        CHECK_FALSE(ledger->healthy());
        REQUIRE_FALSE(failed.ok());
        CHECK(failed.error().code == ErrorCode::kUnavailable);
        CHECK(failed.error().message.starts_with("the ledger stopped: "));
        CHECK(failed.error().message.find("Input/output error") != std::string::npos);
        CHECK(refused_begin.error().code == ErrorCode::kUnavailable);
        CHECK(refused_begin.error().message == failed.error().message);
        CHECK(refused_final.error().code == ErrorCode::kUnavailable);
        ledger->mark({{id_of(2), 9}}, nullptr);  // Ignored.
    }
    const auto reopened = open_or_fail(folder.path(), clock);
    CHECK(reopened->verify()->faults.empty());
    CHECK(*reopened->find(id_of(1)) == final_of(1, Outcome::kCompleted, 7, 7));
    CHECK(reopened->find(id_of(3)).error().code == ErrorCode::kNotFound);
}

TEST_CASE("a full disk stops the ledger with that reason and leaves it whole") {
    const TempFolder folder;
    const ManualClock clock;
    std::atomic<bool> full = false;
    LogFaults faults;
    faults.at_append = [&full] {
        return full ? rocksdb::IOStatus::NoSpace("No space left on device")
                    : rocksdb::IOStatus::OK();
    };
    const auto env = make_faulty_env(faults);
    {
        auto ledger = open_with(folder.path(), clock, env.get());
        REQUIRE(begin(*ledger, facts_of(1)).ok());
        full = true;

        const auto failed = begin(*ledger, facts_of(2));

        REQUIRE_FALSE(failed.ok());
        CHECK(failed.error().code == ErrorCode::kUnavailable);
        CHECK(failed.error().message.find("No space left") != std::string::npos);
        CHECK_FALSE(ledger->healthy());
    }
    const auto reopened = open_or_fail(folder.path(), clock);
    CHECK(reopened->verify()->faults.empty());
    CHECK(reopened->find(id_of(1))->outcome == Outcome::kCrashed);
}

TEST_CASE("many finals share one sync") {
    constexpr uint64_t kRequests = 200;
    const TempFolder folder;
    const ManualClock clock;
    std::atomic<uint64_t> syncs = 0;
    std::atomic<bool> wait = true;
    LogFaults faults;
    faults.at_sync = [&] {
        ++syncs;
        return rocksdb::IOStatus::OK();
    };
    const auto env = make_faulty_env(faults);
    auto ledger = open_with(folder.path(), clock, env.get());
    // Holds the ledger thread, so that what follows is one delivery.
    std::atomic<bool> held = false;
    ledger->begin(facts_of(0), [&wait, &held](const Result<void>&) {
        held = true;
        held.notify_one();
        wait.wait(true);
    });
    held.wait(false);
    for (uint64_t i = 1; i <= kRequests; ++i) {
        ledger->begin(facts_of(i), [](const Result<void>&) {});
        ledger->finish(final_of(i, Outcome::kCompleted, 7, 7), [](const Result<void>&) {});
    }
    const uint64_t before = syncs;
    wait = false;
    wait.notify_one();
    REQUIRE(finish(*ledger, final_of(0, Outcome::kCompleted, 7, 7)).ok());

    CHECK(syncs - before <= 2);
    CHECK(ledger->usage({})->front().requests == kRequests + 1);
}
