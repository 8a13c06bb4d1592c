// Edits the ledger's RocksDB behind its back, as bit rot, a lost log or a dishonest hand would.
#include "base/log.h"
#include "billing/detail/folder.h"
#include "billing/detail/record.h"
#include "billing/detail/store.h"
#include "tests/billing/billing_fixture.h"

#include <doctest/doctest.h>

#include <fstream>
#include <functional>
#include <vector>

using namespace rekindle;           // NOLINT(google-build-using-namespace): a test.
using namespace rekindle::billing;  // NOLINT(google-build-using-namespace): a test.

namespace {

constexpr uint64_t kRequests = 5;  // Records 1 to 10: each begin is followed by its final.

void fill(const std::string& folder) {
    const ManualClock clock;
    auto ledger = open_or_fail(folder, clock);
    for (uint64_t i = 1; i <= kRequests; ++i) {
        REQUIRE(begin(*ledger, facts_of(i)).ok());
        REQUIRE(finish(*ledger, final_of(i, Outcome::kCompleted, 7, 7)).ok());
    }
}

void edit(const std::string& folder, const std::function<void(rocksdb::DB&)>& change) {
    rocksdb::DB* raw = nullptr;
    REQUIRE(rocksdb::DB::Open(rocksdb::Options(), store_path(folder), &raw).ok());
    const std::unique_ptr<rocksdb::DB> db(raw);
    change(*db);
}

LedgerRecord read(rocksdb::DB& db, uint64_t sequence) {
    std::string bytes;
    REQUIRE(db.Get(rocksdb::ReadOptions(), record_key(sequence), &bytes).ok());
    return std::move(decode_record(as_bytes(bytes))).value();
}

void write(rocksdb::DB& db, uint64_t sequence, const LedgerRecord& record) {
    const auto bytes = encode_record(record);
    const auto text = as_text(bytes);
    REQUIRE(db.Put(rocksdb::WriteOptions(), record_key(sequence),
                   rocksdb::Slice(text.data(), text.size()))
                .ok());
}

void remove(rocksdb::DB& db, const std::string& key) {
    REQUIRE(db.Delete(rocksdb::WriteOptions(), key).ok());
}

// One bit of the byte at `at`; twice is nothing.
void flip(const std::string& path, std::streamoff at) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(at);
    const int byte = file.get();
    file.seekp(at);
    file.put(static_cast<char>(byte ^ 4));
}

// Both the audit and the next open find it; the audit says so with these words.
void check_found(const std::string& folder, const std::string& words) {
    const ManualClock clock;
    const auto report = audit_ledger(folder);
    REQUIRE(report.ok());
    REQUIRE_FALSE(report->faults.empty());
    CAPTURE(report->faults.front());
    CHECK(report->faults.front().find(words) != std::string::npos);
    const auto opened = Ledger::open(folder, clock);
    REQUIRE_FALSE(opened.ok());
    CHECK(opened.error().code == ErrorCode::kCorrupt);
    CHECK(audit_ledger(folder)->faults == report->faults);  // Nothing was changed by trying.
}

}  // namespace

TEST_CASE("a whole ledger has no faults, open or not") {
    const TempFolder folder;
    fill(folder.path());

    const auto report = audit_ledger(folder.path());

    REQUIRE(report.ok());
    CHECK(report->faults.empty());
    CHECK(report->records == 2 * kRequests);
    CHECK(report->last_sequence == 2 * kRequests);
    CHECK(audit_ledger(folder.path() + "/nothing").error().code == ErrorCode::kNotFound);
}

TEST_CASE("a record with a lower bill is found by the record after it") {
    const TempFolder folder;
    fill(folder.path());
    edit(folder.path(), [](rocksdb::DB& db) {
        LedgerRecord record = read(db, 4);
        record.body = final_of(2, Outcome::kCompleted, 1, 1);
        write(db, 4, record);
    });
    check_found(folder.path(), "record 5 does not follow record 4");
}

TEST_CASE("a record whose amount is not its tokens times their price is found") {
    const TempFolder folder;
    fill(folder.path());
    edit(folder.path(), [](rocksdb::DB& db) {
        LedgerRecord record = read(db, 4);
        std::get<UsageFinal>(record.body).cost -= 1;
        write(db, 4, record);
    });
    check_found(folder.path(), "which the rules do not give");
}

TEST_CASE("a removed record is found") {
    const TempFolder folder;
    fill(folder.path());
    edit(folder.path(), [](rocksdb::DB& db) { remove(db, record_key(4)); });
    check_found(folder.path(), "records 4 to 4 are missing");
}

TEST_CASE("an altered last record is found by the head and the high-water mark") {
    const TempFolder folder;
    fill(folder.path());
    edit(folder.path(), [](rocksdb::DB& db) {
        LedgerRecord record = read(db, 10);
        record.body = final_of(5, Outcome::kCompleted, 1, 1);
        write(db, 10, record);
    });
    check_found(folder.path(), "record 10 is not the one of the high-water mark");
}

TEST_CASE("a ledger cut back to an earlier state is found by the high-water mark") {
    const TempFolder folder;
    fill(folder.path());
    edit(folder.path(), [](rocksdb::DB& db) {
        std::string bytes;
        REQUIRE(db.Get(rocksdb::ReadOptions(), record_key(8), &bytes).ok());
        for (const uint64_t sequence : {9U, 10U}) {
            remove(db, record_key(sequence));
        }
        remove(db, index_key(id_of(5)));
        const ChainPoint head{.sequence = 8, .digest = sha256(as_bytes(bytes))};
        REQUIRE(db.Put(rocksdb::WriteOptions(), head_key(), encode(head)).ok());
    });
    check_found(folder.path(), "the ledger ends at record 8, but record 10 was made durable");
}

TEST_CASE("a request that is billed a second time is found") {
    const TempFolder folder;
    fill(folder.path());
    edit(folder.path(), [](rocksdb::DB& db) {
        std::string bytes;
        REQUIRE(db.Get(rocksdb::ReadOptions(), record_key(10), &bytes).ok());
        LedgerRecord again = read(db, 10);
        again.sequence = 11;
        again.previous = sha256(as_bytes(bytes));
        write(db, 11, again);
        const auto encoded = encode_record(again);
        REQUIRE(db.Put(rocksdb::WriteOptions(), head_key(),
                       encode(ChainPoint{.sequence = 11, .digest = sha256(encoded)}))
                    .ok());
    });
    check_found(folder.path(), "has another final record, 10");
}

TEST_CASE("indexes that lost an entry are found") {
    const TempFolder folder;
    fill(folder.path());
    SUBCASE("of a request") {
        edit(folder.path(), [](rocksdb::DB& db) { remove(db, index_key(id_of(2))); });
        check_found(folder.path(), "is missing in the index");
    }
    SUBCASE("of an hour") {
        edit(folder.path(), [](rocksdb::DB& db) {
            remove(db, hour_key(final_of(1, Outcome::kCompleted, 7, 7).finished_unix_ms / kHourMs));
        });
        check_found(folder.path(), "is missing in the index of its hour");
    }
    SUBCASE("of the open requests") {
        edit(folder.path(), [](rocksdb::DB& db) {
            REQUIRE(
                db.Put(rocksdb::WriteOptions(), open_key(id_of(3)), encode(OpenEntry{5, 1, true}))
                    .ok());
        });
        check_found(folder.path(), "is open but has a final record");
    }
}

TEST_CASE("a lost high-water mark or store is refused, not begun anew") {
    const TempFolder folder;
    const ManualClock clock;
    fill(folder.path());
    SUBCASE("mark") {
        std::filesystem::remove(high_water_path(folder.path()));
        CHECK(Ledger::open(folder.path(), clock).error().code == ErrorCode::kCorrupt);
    }
    SUBCASE("store") {
        std::filesystem::remove_all(store_path(folder.path()));
        CHECK(Ledger::open(folder.path(), clock).error().code == ErrorCode::kCorrupt);
    }
    SUBCASE("both slots of the mark") {
        std::ofstream(high_water_path(folder.path()), std::ios::trunc) << "nothing of use";
        CHECK(Ledger::open(folder.path(), clock).error().code == ErrorCode::kCorrupt);
    }
}

TEST_CASE("a torn slot of the high-water mark leaves the other, and is written anew") {
    const ManualClock clock;
    for (const int slot : {0, 1}) {
        const TempFolder folder;
        fill(folder.path());
        const auto before =
            HighWater::read(high_water_path(folder.path()), *rocksdb::Env::Default());
        flip(high_water_path(folder.path()), 64 * slot + 20);

        REQUIRE(Ledger::open(folder.path(), clock).ok());

        CHECK(*HighWater::read(high_water_path(folder.path()), *rocksdb::Env::Default()) ==
              *before);
    }
}

TEST_CASE("a flipped bit anywhere in the log is found or changes nothing") {
    const TempFolder folder;
    fill(folder.path());
    std::string log;
    for (const auto& entry : std::filesystem::directory_iterator(store_path(folder.path()))) {
        if (entry.path().extension() == ".log" && entry.file_size() > 0) {
            log = entry.path();
        }
    }
    REQUIRE_FALSE(log.empty());
    const auto bytes = std::filesystem::file_size(log);
    set_log_level(LogLevel::kError);  // RocksDB tells of each.
    for (uint64_t at = 0; at < bytes; at += 37) {
        CAPTURE(at);
        flip(log, static_cast<std::streamoff>(at));
        const auto report = audit_ledger(folder.path());
        const bool found = !report.ok() || !report->faults.empty();
        REQUIRE((found || report->records == 2 * kRequests));
        flip(log, static_cast<std::streamoff>(at));
    }
    set_log_level(LogLevel::kInfo);
    CHECK(audit_ledger(folder.path())->faults.empty());
}

TEST_CASE("open walks the end of a long chain, verify all of it") {
    const TempFolder folder;
    const ManualClock clock;
    fill(folder.path());
    edit(folder.path(), [](rocksdb::DB& db) {
        LedgerRecord record = read(db, 2);
        record.body = final_of(1, Outcome::kCompleted, 1, 1);
        write(db, 2, record);
    });
    JournalOptions options;
    options.audit_records = 4;

    const auto opened = open_ledger(folder.path(), clock, options);

    REQUIRE(opened.ok());
    const auto report = (*opened)->verify();
    REQUIRE(report.ok());
    REQUIRE_FALSE(report->faults.empty());
    CHECK(report->faults.front().find("record 3 does not follow record 2") != std::string::npos);
}

TEST_CASE("a ledger of a newer format is refused") {
    const TempFolder folder;
    const ManualClock clock;
    fill(folder.path());
    edit(folder.path(), [](rocksdb::DB& db) {
        REQUIRE(db.Put(rocksdb::WriteOptions(), format_key(), encode_format(2)).ok());
    });
    CHECK(Ledger::open(folder.path(), clock).error().code == ErrorCode::kUnsupported);
}
