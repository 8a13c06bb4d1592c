// The ledger's RocksDB: keys, options and errors. docs/formats/ledger.md is normative.
//   'm' → format       'h' → head of the chain       'r' + sequence → record
//   'i' + id → its sequences    'o' + id → open request    't' + hour → sequences of that hour
// Integers in keys are big-endian, so that RocksDB's order is the order of time.
// Threading: write() and sync() on the ledger thread; reads on any.
#pragma once
#include "base/result.h"
#include "billing/detail/high_water.h"
#include "billing/usage_event.h"

#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace rekindle::billing {

inline constexpr uint32_t kFormatVersion = 1;
inline constexpr int64_t kHourMs = 3'600'000;

// Of one request: where its records are. final == 0 while it is open.
struct RequestIndex {
    uint64_t begin = 0;
    uint64_t final = 0;
};

struct OpenEntry {
    uint64_t begin = 0;
    uint32_t delivered = 0;
    bool marked = false;  // A mark came, so prefill had begun.
};

// Sequences of the first and last final record that ended in one hour; others may lie between.
struct HourSpan {
    uint64_t first = 0;
    uint64_t last = 0;
};

std::string format_key();
std::string head_key();
std::string record_key(uint64_t sequence);
std::string index_key(const RequestId& id);
std::string open_key(const RequestId& id);
std::string hour_key(int64_t hour);

// Nothing when the key is not one of record_key().
std::optional<uint64_t> sequence_of(std::string_view record_key);

std::string encode_format(uint32_t version);
// kUnsupported for a version that this program does not know.
Result<void> check_format(std::string_view bytes);

std::string encode(const ChainPoint& head);
std::string encode(const RequestIndex& index);
std::string encode(const OpenEntry& entry);
std::string encode(const HourSpan& span);
Result<ChainPoint> decode_head(std::string_view bytes);
Result<RequestIndex> decode_index(std::string_view bytes);
Result<OpenEntry> decode_open(std::string_view bytes);
Result<HourSpan> decode_hour(std::string_view bytes);

enum class StoreMode { kReadOnly, kReadWrite };

class Store {
public:
    // One moment of the store for reading; released when destroyed, before the Store.
    class View;

    // kReadWrite creates it. `env` (not owned) may be null: the machine's own.
    static Result<Store> open(const std::string& path, StoreMode mode, rocksdb::Env* env);

    Result<void> write(rocksdb::WriteBatch& batch, bool sync);
    // What was written unsynced becomes durable.
    Result<void> sync();
    // Of the newest state.
    Result<std::optional<std::string>> get(const std::string& key) const;
    View view() const;
    // A second database in `path`, which must not exist, with all that is in this one; links to
    // files that never change, copies of the rest.
    Result<void> copy_to(const std::string& path) const;

private:
    explicit Store(std::unique_ptr<rocksdb::DB> db) : db_(std::move(db)) {}

    std::unique_ptr<rocksdb::DB> db_;
};

class Store::View {
public:
    explicit View(rocksdb::DB& db) : db_(&db), snapshot_(db.GetSnapshot()) {}

    View(const View&) = delete;
    View& operator=(const View&) = delete;

    ~View() { db_->ReleaseSnapshot(snapshot_); }

    Result<std::optional<std::string>> get(const std::string& key) const;
    // Calls `visit(key, value)` for all keys of [from, to) in order until it returns an error.
    using Visit = std::function<Result<void>(std::string_view key, std::string_view value)>;
    Result<void> scan(const std::string& from, const std::string& to, const Visit& visit) const;

private:
    rocksdb::DB* db_;
    const rocksdb::Snapshot* snapshot_;
};

}  // namespace rekindle::billing
