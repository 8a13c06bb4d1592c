#include "billing/detail/reader.h"

#include "base/hash.h"
#include "billing/detail/record.h"
#include "billing/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace rekindle::billing {
namespace {

// Ranges of sequences that hold every final of the query's hours, merged and in order.
Result<std::vector<HourSpan>> spans_of(const Store::View& view, const UsageQuery& query) {
    const int64_t from = std::max<int64_t>(query.since_unix_ms, 0) / kHourMs;
    const int64_t to = std::max<int64_t>(query.until_unix_ms, 0) / kHourMs + 1;
    std::vector<HourSpan> spans;
    const auto visit = [&spans](std::string_view /*key*/, std::string_view value) -> Result<void> {
        const auto span = decode_hour(value);
        if (!span) {
            return span.error();
        }
        spans.push_back(*span);
        return {};
    };
    if (auto scanned = view.scan(hour_key(from), hour_key(to), visit); !scanned) {
        return scanned.error();
    }
    std::sort(spans.begin(), spans.end(),
              [](const HourSpan& a, const HourSpan& b) { return a.first < b.first; });
    std::vector<HourSpan> merged;
    for (const HourSpan& span : spans) {
        if (!merged.empty() && span.first <= merged.back().last) {
            merged.back().last = std::max(merged.back().last, span.last);
        } else {
            merged.push_back(span);
        }
    }
    return merged;
}

Result<LedgerRecord> read_record(const Store::View& view, uint64_t sequence) {
    const auto bytes = view.get(record_key(sequence));
    if (!bytes) {
        return bytes.error();
    }
    if (!*bytes) {
        return Error{ErrorCode::kCorrupt, fmt::format("ledger record {} is missing", sequence)};
    }
    auto record = decode_record(as_bytes(**bytes));
    return std::move(record).with_context(fmt::format("record {}", sequence));
}

Result<UsageFinal> read_open(const Store::View& view, const RequestFacts& facts) {
    const auto bytes = view.get(open_key(facts.id));
    if (!bytes) {
        return bytes.error();
    }
    const auto entry = decode_open(bytes->value_or(""));
    if (!entry) {
        return entry.error();
    }
    UsageFinal usage;
    usage.facts = facts;
    usage.completion_tokens = entry->delivered;
    usage.delivered_tokens = entry->delivered;
    return usage;
}

}  // namespace

Result<std::vector<UsageRow>> read_usage(const Store::View& view, const UsageQuery& query) {
    auto table = UsageTable::make(query.by);
    if (!table) {
        return table.error();
    }
    const auto spans = spans_of(view, query);
    if (!spans) {
        return spans.error();
    }
    const auto visit = [&](std::string_view /*key*/, std::string_view value) -> Result<void> {
        const auto record = decode_record(as_bytes(value));
        if (!record) {
            return record.error();
        }
        const auto* usage = std::get_if<UsageFinal>(&record->body);
        if (usage == nullptr || usage->finished_unix_ms < query.since_unix_ms ||
            usage->finished_unix_ms >= query.until_unix_ms) {
            return {};
        }
        return table->add(*usage);
    };
    for (const HourSpan& span : *spans) {
        const auto end = record_key(span.last + 1);
        if (auto scanned = view.scan(record_key(span.first), end, visit); !scanned) {
            return scanned.error();
        }
    }
    return std::move(*table).rows();
}

Result<UsageFinal> read_request(const Store::View& view, const RequestId& id) {
    const auto bytes = view.get(index_key(id));
    if (!bytes) {
        return bytes.error();
    }
    if (!*bytes) {
        return Error{ErrorCode::kNotFound,
                     fmt::format("{}: the ledger has no such request", id.text())};
    }
    const auto index = decode_index(**bytes);
    if (!index) {
        return index.error();
    }
    const auto record = read_record(view, index->final != 0 ? index->final : index->begin);
    if (!record) {
        return record.error();
    }
    if (const auto* facts = std::get_if<RequestFacts>(&record->body)) {
        return read_open(view, *facts);
    }
    return std::get<UsageFinal>(record->body);
}

}  // namespace rekindle::billing
