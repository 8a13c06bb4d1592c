#include "billing/detail/audit.h"

#include "base/hash.h"
#include "billing/detail/record.h"

#include <fmt/format.h>

#include <string>
#include <utility>

namespace rekindle::billing {
namespace {

class Auditor {
public:
    Auditor(const Store::View& view, const ChainPoint& durable) : view_(view), durable_(durable) {}

    Result<LedgerReport> run(uint64_t records) {
        if (auto head = read_head(); !head) {
            return head.error();
        }
        const uint64_t first = head_.sequence > records ? head_.sequence - records + 1 : 1;
        if (auto start = start_at(first); !start) {
            return start.error();
        }
        const auto visit = [this](std::string_view key, std::string_view value) {
            return visit_record(key, value);
        };
        if (auto walked = view_.scan(record_key(first), "s", visit); !walked) {
            return walked.error();
        }
        check_end();
        if (auto open = count_open(/*whole=*/first == 1); !open) {
            return open.error();
        }
        if (faults_ > kFaultsMax) {
            report_.faults.push_back(fmt::format("and {} more", faults_ - kFaultsMax));
        }
        report_.last_sequence = last_.sequence;
        return std::move(report_);
    }

private:
    void fault(std::string sentence) {
        ++faults_;
        if (faults_ <= kFaultsMax) {
            report_.faults.push_back(std::move(sentence));
        }
    }

    Result<void> read_head() {
        const auto format = view_.get(format_key());
        if (!format) {
            return format.error();
        }
        if (!*format) {
            return {};  // Died before the first batch: a ledger without records.
        }
        if (auto known = check_format(**format); !known) {
            return known;
        }
        const auto stored = view_.get(head_key());
        if (!stored) {
            return stored.error();
        }
        const auto head = decode_head(stored->value_or(""));
        if (!head) {
            return head.error();
        }
        head_ = *head;
        return {};
    }

    // The link before the first record that is walked.
    Result<void> start_at(uint64_t first) {
        last_.sequence = first - 1;
        if (first == 1) {
            return {};
        }
        const auto before = view_.get(record_key(first - 1));
        if (!before) {
            return before.error();
        }
        if (!*before) {
            fault(fmt::format("record {} is missing", first - 1));
            return {};
        }
        last_.digest = sha256(as_bytes(**before));
        return check_durable_before(first);
    }

    Result<void> check_durable_before(uint64_t first) {
        if (durable_.sequence == 0 || durable_.sequence >= first) {
            return {};
        }
        const auto bytes = view_.get(record_key(durable_.sequence));
        if (!bytes) {
            return bytes.error();
        }
        if (!*bytes || sha256(as_bytes(**bytes)) != durable_.digest) {
            fault(
                fmt::format("record {} is not the one of the high-water mark", durable_.sequence));
        }
        return {};
    }

    Result<void> visit_record(std::string_view key, std::string_view value) {
        const auto found = sequence_of(key);
        if (!found) {
            fault("a key among the records is not a sequence");
            return {};
        }
        const uint64_t sequence = *found;
        if (sequence != last_.sequence + 1) {
            fault(fmt::format("records {} to {} are missing", last_.sequence + 1, sequence - 1));
        }
        const Sha256Digest digest = sha256(as_bytes(value));
        if (sequence == durable_.sequence && digest != durable_.digest) {
            fault(fmt::format("record {} is not the one of the high-water mark", sequence));
        }
        const auto record = decode_record(as_bytes(value));
        if (!record) {
            fault(fmt::format("record {}: {}", sequence, record.error().message));
        } else if (auto checked = check_record(sequence, *record); !checked) {
            return checked;
        }
        last_ = ChainPoint{.sequence = sequence, .digest = digest};
        ++report_.records;
        return {};
    }

    Result<void> check_record(uint64_t sequence, const LedgerRecord& record) {
        if (record.sequence != sequence) {
            fault(fmt::format("record {} says that it is record {}", sequence, record.sequence));
        }
        if (record.previous != last_.digest) {
            fault(
                fmt::format("record {} does not follow record {}: one of them was altered, or "
                            "records between them were removed",
                            sequence, last_.sequence));
        }
        const auto* facts = std::get_if<RequestFacts>(&record.body);
        const auto* usage = std::get_if<UsageFinal>(&record.body);
        const RequestId& id = facts != nullptr ? facts->id : usage->facts.id;
        const auto stored = view_.get(index_key(id));
        if (!stored) {
            return stored.error();
        }
        const auto index = decode_index(stored->value_or(""));
        if (!index) {
            fault(fmt::format("record {}: {} is missing in the index", sequence, id.text()));
            return {};
        }
        if (facts != nullptr) {
            return check_begin(sequence, id, *index);
        }
        if (index->final != sequence || index->begin >= sequence || index->begin == 0) {
            fault(fmt::format("record {}: {} has another final record, {}", sequence, id.text(),
                              index->final));
        }
        return check_hour(sequence, *usage);
    }

    Result<void> check_begin(uint64_t sequence, const RequestId& id, const RequestIndex& index) {
        if (index.begin != sequence) {
            fault(fmt::format("record {}: {} began in record {} already", sequence, id.text(),
                              index.begin));
        }
        const auto open = view_.get(open_key(id));
        if (!open) {
            return open.error();
        }
        if (open->has_value() != (index.final == 0)) {
            fault(fmt::format("record {}: {} is {} but has {}", sequence, id.text(),
                              *open ? "open" : "not open",
                              index.final == 0 ? "no final record" : "a final record"));
        }
        open_begun_ += index.final == 0 ? 1 : 0;
        return {};
    }

    Result<void> check_hour(uint64_t sequence, const UsageFinal& usage) {
        const int64_t hour = usage.finished_unix_ms / kHourMs;
        if (hour != hour_) {
            const auto stored = view_.get(hour_key(hour));
            if (!stored) {
                return stored.error();
            }
            const auto span = decode_hour(stored->value_or(""));
            hour_ = hour;
            span_ = span ? *span : HourSpan{};
        }
        if (sequence < span_.first || sequence > span_.last) {
            fault(fmt::format("record {} is missing in the index of its hour", sequence));
        }
        return {};
    }

    void check_end() {
        if (last_ != head_) {
            fault(fmt::format("the chain ends at record {}, its head is record {}", last_.sequence,
                              head_.sequence));
        }
        if (durable_.sequence > last_.sequence) {
            fault(fmt::format("the ledger ends at record {}, but record {} was made durable",
                              last_.sequence, durable_.sequence));
        }
    }

    Result<void> count_open(bool whole) {
        const auto visit = [this](std::string_view /*key*/, std::string_view) {
            ++report_.open_requests;
            return Result<void>();
        };
        if (auto counted = view_.scan("o", "p", visit); !counted) {
            return counted;
        }
        if (whole && report_.open_requests != open_begun_) {
            fault(fmt::format("{} requests are listed as open, {} records begin one",
                              report_.open_requests, open_begun_));
        }
        return {};
    }

    const Store::View& view_;
    const ChainPoint durable_;
    ChainPoint head_;
    ChainPoint last_;  // The record walked before.
    LedgerReport report_;
    uint64_t faults_ = 0;
    uint64_t open_begun_ = 0;
    int64_t hour_ = -1;  // Of span_.
    HourSpan span_;
};

}  // namespace

Result<LedgerReport> audit(const Store::View& view, const ChainPoint& durable, uint64_t records) {
    return Auditor(view, durable).run(records);
}

}  // namespace rekindle::billing
