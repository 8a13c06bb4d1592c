#include "billing/detail/store.h"

#include "base/bytes.h"
#include "base/log.h"
#include "base/units.h"

#include <fmt/format.h>
#include <rocksdb/cache.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/checkpoint.h>

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <string_view>
#include <utility>

namespace rekindle::billing {
namespace {

// RocksDB's own warnings as log lines of this program, and no LOG files in the data folder.
class LineLogger final : public rocksdb::Logger {
public:
    LineLogger() : rocksdb::Logger(rocksdb::InfoLogLevel::WARN_LEVEL) {}

    using rocksdb::Logger::Logv;

    void Logv(const char* format, va_list arguments) override {
        std::array<char, 512> line{};
        std::vsnprintf(line.data(), line.size(), format, arguments);
        std::string_view what(line.data());
        what = what.substr(0, what.find_last_not_of('\n') + 1);
        if (what.find("File Deletions") != std::string_view::npos) {
            return;  // Its checkpoints hold deletions back in nested calls, and warn of themselves.
        }
        log_warning("ledger_store", {{"what", what}});
    }
};

rocksdb::Options store_options(rocksdb::Env* env) {
    rocksdb::Options options;
    options.create_if_missing = true;
    options.env = env != nullptr ? env : rocksdb::Env::Default();
    // A torn last log entry is ordinary after a crash; the chain and the high-water mark find what
    // this mode would drop silently.
    options.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
    options.paranoid_checks = true;
    options.track_and_verify_wals_in_manifest = true;
    options.info_log = std::make_shared<LineLogger>();
    // No timers: an idle ledger wakes nobody.
    options.stats_dump_period_sec = 0;
    options.stats_persist_period_sec = 0;
    // A ledger is written once and read seldom: 8 MiB tables keep recovery and memory small.
    options.write_buffer_size = 8 * kMiB;
    options.max_open_files = 256;
    rocksdb::BlockBasedTableOptions table;
    table.block_cache = rocksdb::NewLRUCache(8 * kMiB);
    table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));  // Bits a key: 1 % false hits.
    options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
    return options;
}

Error store_error(std::string_view what, const rocksdb::Status& status) {
    ErrorCode code = ErrorCode::kIo;
    if (status.IsCorruption()) {
        code = ErrorCode::kCorrupt;
    } else if (status.IsNoSpace()) {
        code = ErrorCode::kNoSpace;
    }
    return Error{code, fmt::format("{}: {}", what, status.ToString())};
}

void append_big_endian(std::string& key, uint64_t value) {
    for (int shift = 56; shift >= 0; shift -= 8) {
        key.push_back(static_cast<char>(value >> shift));
    }
}

std::string id_key(char prefix, const RequestId& id) {
    std::string key(1, prefix);
    key += as_text(id.bytes);
    return key;
}

std::string taken(ByteWriter& out) {
    return std::string(as_text(out.bytes()));
}

rocksdb::Slice slice(std::string_view text) {
    return {text.data(), text.size()};
}

std::string_view text(const rocksdb::Slice& slice) {
    return {slice.data(), slice.size()};
}

Result<std::optional<std::string>> get_value(rocksdb::DB& db, const rocksdb::ReadOptions& options,
                                             const std::string& key) {
    std::string value;
    const rocksdb::Status status = db.Get(options, slice(key), &value);
    if (status.IsNotFound()) {
        return std::optional<std::string>{};
    }
    if (!status.ok()) {
        return store_error("reading the ledger", status);
    }
    return std::optional<std::string>(std::move(value));
}

}  // namespace

std::string format_key() {
    return "m";
}

std::string head_key() {
    return "h";
}

std::string record_key(uint64_t sequence) {
    std::string key = "r";
    append_big_endian(key, sequence);
    return key;
}

std::string index_key(const RequestId& id) {
    return id_key('i', id);
}

std::string open_key(const RequestId& id) {
    return id_key('o', id);
}

std::string hour_key(int64_t hour) {
    std::string key = "t";
    append_big_endian(key, static_cast<uint64_t>(hour));
    return key;
}

std::optional<uint64_t> sequence_of(std::string_view record_key) {
    if (record_key.size() != 9 || record_key.front() != 'r') {
        return std::nullopt;
    }
    uint64_t sequence = 0;
    for (const char c : record_key.substr(1)) {
        sequence = sequence << 8 | static_cast<uint8_t>(c);
    }
    return sequence;
}

std::string encode_format(uint32_t version) {
    ByteWriter out;
    out.write(version);
    return taken(out);
}

Result<void> check_format(std::string_view bytes) {
    ByteReader in(as_bytes(bytes));
    const auto version = in.read<uint32_t>();
    if (auto finished = in.finish("ledger format"); !finished) {
        return finished;
    }
    if (version != kFormatVersion) {
        return Error{ErrorCode::kUnsupported,
                     fmt::format("the ledger has format {}, this program knows {}", version,
                                 kFormatVersion)};
    }
    return {};
}

std::string encode(const ChainPoint& head) {
    ByteWriter out;
    out.write(head.sequence);
    out.write_span(head.digest);
    return taken(out);
}

std::string encode(const RequestIndex& index) {
    ByteWriter out;
    out.write(index.begin);
    out.write(index.final);
    return taken(out);
}

std::string encode(const OpenEntry& entry) {
    ByteWriter out;
    out.write(entry.begin);
    out.write(entry.delivered);
    out.write(static_cast<uint8_t>(entry.marked ? 1 : 0));
    return taken(out);
}

std::string encode(const HourSpan& span) {
    ByteWriter out;
    out.write(span.first);
    out.write(span.last);
    return taken(out);
}

Result<ChainPoint> decode_head(std::string_view bytes) {
    ByteReader in(as_bytes(bytes));
    ChainPoint head;
    head.sequence = in.read<uint64_t>();
    const auto digest = in.read_span(head.digest.size());
    std::copy(digest.begin(), digest.end(), head.digest.begin());
    if (auto finished = in.finish("ledger head"); !finished) {
        return finished.error();
    }
    return head;
}

Result<RequestIndex> decode_index(std::string_view bytes) {
    ByteReader in(as_bytes(bytes));
    const RequestIndex index{.begin = in.read<uint64_t>(), .final = in.read<uint64_t>()};
    if (auto finished = in.finish("ledger index"); !finished) {
        return finished.error();
    }
    return index;
}

Result<OpenEntry> decode_open(std::string_view bytes) {
    ByteReader in(as_bytes(bytes));
    OpenEntry entry;
    entry.begin = in.read<uint64_t>();
    entry.delivered = in.read<uint32_t>();
    entry.marked = in.read<uint8_t>() != 0;
    if (auto finished = in.finish("ledger open request"); !finished) {
        return finished.error();
    }
    return entry;
}

Result<HourSpan> decode_hour(std::string_view bytes) {
    ByteReader in(as_bytes(bytes));
    const HourSpan span{.first = in.read<uint64_t>(), .last = in.read<uint64_t>()};
    if (auto finished = in.finish("ledger hour"); !finished) {
        return finished.error();
    }
    return span;
}

Result<Store> Store::open(const std::string& path, StoreMode mode, rocksdb::Env* env) {
    const rocksdb::Options options = store_options(env);
    rocksdb::DB* db = nullptr;
    const rocksdb::Status status = mode == StoreMode::kReadOnly
                                       ? rocksdb::DB::OpenForReadOnly(options, path, &db)
                                       : rocksdb::DB::Open(options, path, &db);
    std::unique_ptr<rocksdb::DB> owned(db);
    if (!status.ok()) {
        return store_error(fmt::format("opening {}", path), status);
    }
    return Store(std::move(owned));
}

Result<void> Store::write(rocksdb::WriteBatch& batch, bool sync) {
    rocksdb::WriteOptions options;
    options.sync = sync;
    const rocksdb::Status status = db_->Write(options, &batch);
    if (!status.ok()) {
        return store_error("writing the ledger", status);
    }
    return {};
}

Result<void> Store::sync() {
    const rocksdb::Status status = db_->SyncWAL();
    if (!status.ok()) {
        return store_error("syncing the ledger", status);
    }
    return {};
}

Result<std::optional<std::string>> Store::get(const std::string& key) const {
    return get_value(*db_, rocksdb::ReadOptions(), key);
}

Result<void> Store::copy_to(const std::string& path) const {
    rocksdb::Checkpoint* checkpoint = nullptr;
    rocksdb::Status status = rocksdb::Checkpoint::Create(db_.get(), &checkpoint);
    const std::unique_ptr<rocksdb::Checkpoint> owned(checkpoint);
    if (status.ok()) {
        status = owned->CreateCheckpoint(path);
    }
    if (!status.ok()) {
        return store_error(fmt::format("copying the ledger to {}", path), status);
    }
    return {};
}

Store::View Store::view() const {
    return View(*db_);
}

Result<std::optional<std::string>> Store::View::get(const std::string& key) const {
    rocksdb::ReadOptions options;
    options.snapshot = snapshot_;
    return get_value(*db_, options, key);
}

Result<void> Store::View::scan(const std::string& from, const std::string& to,
                               const Visit& visit) const {
    rocksdb::ReadOptions options;
    options.snapshot = snapshot_;
    options.readahead_size = 1 * kMiB;
    const rocksdb::Slice end = slice(to);
    options.iterate_upper_bound = &end;
    const std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator(options));
    for (it->Seek(slice(from)); it->Valid(); it->Next()) {
        if (auto visited = visit(text(it->key()), text(it->value())); !visited) {
            return visited;
        }
    }
    if (!it->status().ok()) {
        return store_error("reading the ledger", it->status());
    }
    return {};
}

}  // namespace rekindle::billing
