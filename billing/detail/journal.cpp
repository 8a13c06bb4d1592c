#include "billing/detail/journal.h"

#include "base/log.h"
#include "billing/detail/folder.h"
#include "billing/detail/record.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

namespace rekindle::billing {
namespace {

// Requests that a crash left open are closed in batches of this many.
constexpr size_t kRecoveryBatch = 1024;

Error already_final(const RequestId& id) {
    return Error{ErrorCode::kConflict, fmt::format("{}: already has its final record", id.text())};
}

}  // namespace

size_t RequestIdHash::operator()(const RequestId& id) const noexcept {
    uint64_t random_half = 0;  // The last 8 bytes are random (RequestId::make).
    std::memcpy(&random_half, id.bytes.data() + 8, sizeof(random_half));
    return random_half;
}

Journal::Journal(UniqueFd lock, Store store, HighWater high_water, JournalOptions options)
    : lock_(std::move(lock)),
      store_(std::move(store)),
      options_(std::move(options)),
      high_water_(std::move(high_water)) {}

Result<std::unique_ptr<Journal>> Journal::open(const std::string& folder, const Clock& clock,
                                               JournalOptions options) {
    auto lock = lock_folder(folder);
    if (!lock) {
        return lock.error();
    }
    // Before anything is opened for writing: RocksDB's recovery may drop a damaged log's rest.
    if (auto whole = check_before_writing(folder, options.audit_records, options.env); !whole) {
        return whole.error();
    }
    auto high_water = HighWater::open(high_water_path(folder), disk_or_default(options.env));
    if (!high_water) {
        return high_water.error();
    }
    auto store = Store::open(store_path(folder), StoreMode::kReadWrite, options.env);
    if (!store) {
        return store.error();
    }
    std::unique_ptr<Journal> journal(new Journal(std::move(*lock), std::move(*store),
                                                 std::move(*high_water), std::move(options)));
    if (auto loaded = journal->load(); !loaded) {
        return loaded.error();
    }
    if (auto closed = journal->close_crashed(clock); !closed) {
        return closed.error();
    }
    // What recovery read is in synced tables now; a mark that a crash left behind catches up.
    if (journal->head_ != journal->high_water_.point()) {
        if (auto synced = journal->sync(); !synced) {
            return synced.error();
        }
    }
    return journal;
}

Result<void> Journal::load() {
    const auto format = store_.get(format_key());
    if (!format) {
        return format.error();
    }
    if (!*format) {  // A new ledger.
        batch_.Put(format_key(), encode_format(kFormatVersion));
        batch_.Put(head_key(), encode(head_));
        auto written = store_.write(batch_, /*sync=*/true);
        batch_.Clear();
        return written;
    }
    const auto stored = store_.get(head_key());
    if (!stored) {
        return stored.error();
    }
    const auto head = decode_head(stored->value_or(""));
    if (!head) {
        return head.error();
    }
    head_ = *head;
    return load_open_requests();
}

Result<void> Journal::load_open_requests() {
    const Store::View view = store_.view();
    return view.scan("o", "p", [&](std::string_view key, std::string_view value) -> Result<void> {
        const auto entry = decode_open(value);
        if (!entry) {
            return entry.error();
        }
        const auto bytes = view.get(record_key(entry->begin));
        if (!bytes) {
            return bytes.error();
        }
        const auto record = decode_record(as_bytes(bytes->value_or("")));
        if (!record) {
            return record.error();
        }
        const auto* facts = std::get_if<RequestFacts>(&record->body);
        if (facts == nullptr || open_key(facts->id) != key) {
            return Error{ErrorCode::kCorrupt,
                         fmt::format("ledger: record {} does not begin the open request that "
                                     "names it",
                                     entry->begin)};
        }
        open_.emplace(facts->id, OpenRequest{*facts, *entry});
        return {};
    });
}

Result<void> Journal::close_crashed(const Clock& clock) {
    const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(clock.wall()).count();
    std::vector<std::pair<uint64_t, RequestId>> lost;  // In the order in which they began.
    lost.reserve(open_.size());
    for (const auto& [id, request] : open_) {
        lost.emplace_back(request.entry.begin, id);
    }
    std::sort(lost.begin(), lost.end());
    for (size_t i = 0; i < lost.size(); ++i) {
        const OpenRequest& request = open_.at(lost[i].second);
        const uint32_t delivered = request.entry.delivered;
        UsageFinal usage =
            settle(request.facts, Outcome::kCrashed, delivered, delivered, request.entry.marked);
        usage.finished_unix_ms = std::max<int64_t>(now, 0);
        if (auto staged = finish(usage); !staged) {
            return staged;
        }
        if ((i + 1) % kRecoveryBatch == 0 || i + 1 == lost.size()) {
            if (auto committed = commit(); !committed) {
                return committed;
            }
        }
    }
    if (!lost.empty()) {
        log_warning("ledger_recovered", {{"requests_closed_by_last_mark", lost.size()}});
    }
    return {};
}

Result<void> Journal::check_id_is_new(const RequestId& id) const {
    if (open_.contains(id)) {
        return Error{ErrorCode::kConflict, fmt::format("{}: already begun", id.text())};
    }
    if (finished_.contains(id)) {
        return already_final(id);
    }
    const auto known = store_.get(index_key(id));
    if (!known) {
        return known.error();
    }
    return *known ? Result<void>(already_final(id)) : Result<void>();
}

Result<void> Journal::begin(const RequestFacts& facts) {
    if (!stopped_.empty()) {
        return Error{ErrorCode::kUnavailable, stopped_};
    }
    if (auto checked = check_facts(facts); !checked) {
        return checked;
    }
    if (auto fresh = check_id_is_new(facts.id); !fresh) {
        return fresh;
    }
    if (open_.size() >= options_.open_requests_max) {
        return Error{ErrorCode::kOverloaded, fmt::format("the ledger holds {} open requests, its "
                                                         "limit",
                                                         options_.open_requests_max)};
    }
    append(facts);
    const OpenEntry entry{.begin = head_.sequence};
    batch_.Put(index_key(facts.id), encode(RequestIndex{.begin = head_.sequence}));
    batch_.Put(open_key(facts.id), encode(entry));
    open_.emplace(facts.id, OpenRequest{facts, entry});
    return {};
}

Result<void> Journal::finish(const UsageFinal& usage) {
    if (!stopped_.empty()) {
        return Error{ErrorCode::kUnavailable, stopped_};
    }
    const RequestId& id = usage.facts.id;
    const auto open = open_.find(id);
    if (open == open_.end()) {
        auto fresh = check_id_is_new(id);
        return fresh ? Error{ErrorCode::kNotFound, fmt::format("{}: was never begun", id.text())}
                     : fresh;
    }
    if (auto checked = check_final(usage); !checked) {
        return checked;
    }
    if (usage.facts != open->second.facts) {
        return Error{
            ErrorCode::kInvalidArgument,
            fmt::format("{}: the final record's facts are not those it began with", id.text())};
    }
    append(usage);
    batch_.Put(index_key(id),
               encode(RequestIndex{.begin = open->second.entry.begin, .final = head_.sequence}));
    batch_.Delete(open_key(id));
    open_.erase(open);
    finished_.insert(id);
    return extend_hour(usage.finished_unix_ms / kHourMs, head_.sequence);
}

void Journal::mark(const ProgressMark& mark) {
    const auto open = open_.find(mark.id);
    if (open == open_.end()) {
        return;
    }
    OpenEntry& entry = open->second.entry;
    if (entry.marked && mark.delivered_tokens <= entry.delivered) {
        return;  // Marks only rise: an older one that comes late says nothing new.
    }
    entry.marked = true;
    entry.delivered = std::max(entry.delivered, mark.delivered_tokens);
    batch_.Put(open_key(mark.id), encode(entry));
}

void Journal::append(const std::variant<RequestFacts, UsageFinal>& body) {
    const LedgerRecord record{
        .sequence = head_.sequence + 1, .previous = head_.digest, .body = body};
    const std::vector<std::byte> bytes = encode_record(record);
    const std::string_view text = as_text(bytes);
    batch_.Put(record_key(record.sequence), rocksdb::Slice(text.data(), text.size()));
    head_ = ChainPoint{.sequence = record.sequence, .digest = sha256(bytes)};
}

Result<void> Journal::extend_hour(int64_t hour, uint64_t sequence) {
    auto span = hours_.find(hour);
    if (span == hours_.end()) {
        const auto stored = store_.get(hour_key(hour));
        if (!stored) {
            return stop(stored.error());
        }
        auto known = *stored ? decode_hour(**stored) : HourSpan{sequence, sequence};
        if (!known) {
            return stop(known.error());
        }
        span = hours_.emplace(hour, *known).first;
    }
    span->second.last = sequence;
    return {};
}

Result<void> Journal::commit() {
    if (!stopped_.empty()) {
        return Error{ErrorCode::kUnavailable, stopped_};
    }
    if (batch_.Count() == 0) {
        return {};
    }
    for (const auto& [hour, span] : hours_) {
        batch_.Put(hour_key(hour), encode(span));
    }
    batch_.Put(head_key(), encode(head_));
    const bool with_finals = !finished_.empty();
    if (options_.at_point) {
        options_.at_point(CrashPoint::kBeforeWrite);
    }
    if (auto written = store_.write(batch_, with_finals); !written) {
        return stop(written.error());
    }
    batch_.Clear();
    finished_.clear();
    hours_.clear();
    unsynced_ = true;  // The high-water mark, if nothing else.
    if (auto raised = with_finals ? raise_high_water(/*sync=*/false) : Result<void>(); !raised) {
        return stop(raised.error());
    }
    if (options_.at_point) {
        options_.at_point(CrashPoint::kBeforeDone);
    }
    return {};
}

Result<void> Journal::sync() {
    if (!stopped_.empty()) {
        return Error{ErrorCode::kUnavailable, stopped_};
    }
    if (auto synced = store_.sync(); !synced) {
        return stop(synced.error());
    }
    if (auto raised = raise_high_water(/*sync=*/true); !raised) {
        return stop(raised.error());
    }
    unsynced_ = false;
    return {};
}

Result<void> Journal::raise_high_water(bool sync) {
    const std::lock_guard lock(mutex_);
    if (head_ != high_water_.point()) {
        if (auto written = high_water_.write(head_); !written) {
            return written;
        }
    }
    return sync ? high_water_.sync() : Result<void>();
}

ChainPoint Journal::durable_point() const {
    const std::lock_guard lock(mutex_);
    return high_water_.point();
}

// A failed sync may have dropped the pages it could not write: trying again would lie.
Result<void> Journal::stop(Error error) {
    stopped_ = fmt::format("the ledger stopped: {}", error.message);
    log_error("ledger_stopped", {{"why", error.message}});
    return Error{ErrorCode::kUnavailable, stopped_};
}

}  // namespace rekindle::billing
