#include "billing/detail/record.h"

#include "base/bytes.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

namespace rekindle::billing {
namespace {

enum class Kind : uint8_t { kBegin = 1, kFinal = 2 };

void write_facts(ByteWriter& out, const RequestFacts& facts) {
    out.write_span(facts.id.bytes);
    for (const std::string* name : {&facts.organization, &facts.project, &facts.key, &facts.model,
                                    &facts.revision, &facts.currency}) {
        out.write_string(*name);
    }
    out.write(facts.price_input);
    out.write(facts.price_cached);
    out.write(facts.price_output);
    out.write(facts.prompt_tokens);
    out.write(facts.cached_tokens);
    out.write(static_cast<uint8_t>(facts.streamed ? 1 : 0));
    out.write(facts.started_unix_ms);
}

// kCorrupt fields show in the caller's re-check (check_facts, the reader's own failure).
RequestFacts read_facts(ByteReader& in, bool& canonical) {
    RequestFacts facts;
    const auto id = in.read_span(facts.id.bytes.size());
    std::copy(id.begin(), id.end(), facts.id.bytes.begin());
    for (std::string* name : {&facts.organization, &facts.project, &facts.key, &facts.model,
                              &facts.revision, &facts.currency}) {
        *name = in.read_string();
    }
    facts.price_input = in.read<PicoPerToken>();
    facts.price_cached = in.read<PicoPerToken>();
    facts.price_output = in.read<PicoPerToken>();
    facts.prompt_tokens = in.read<uint32_t>();
    facts.cached_tokens = in.read<uint32_t>();
    const auto streamed = in.read<uint8_t>();
    canonical = canonical && streamed <= 1;
    facts.streamed = streamed == 1;
    facts.started_unix_ms = in.read<int64_t>();
    return facts;
}

void write_final(ByteWriter& out, const UsageFinal& usage) {
    write_facts(out, usage.facts);
    out.write(usage.outcome);
    out.write(usage.completion_tokens);
    out.write(usage.delivered_tokens);
    out.write(usage.billed_prompt);
    out.write(usage.billed_cached);
    out.write(usage.billed_completion);
    out.write(usage.forgiven_tokens);
    out.write(static_cast<uint64_t>(usage.cost));
    out.write(static_cast<int64_t>(usage.cost >> 64));
    out.write(usage.finished_unix_ms);
    out.write(usage.restore_ms);
}

UsageFinal read_final(ByteReader& in, bool& canonical) {
    UsageFinal usage;
    usage.facts = read_facts(in, canonical);
    usage.outcome = in.read<Outcome>();
    usage.completion_tokens = in.read<uint32_t>();
    usage.delivered_tokens = in.read<uint32_t>();
    usage.billed_prompt = in.read<uint32_t>();
    usage.billed_cached = in.read<uint32_t>();
    usage.billed_completion = in.read<uint32_t>();
    usage.forgiven_tokens = in.read<uint32_t>();
    const auto low = in.read<uint64_t>();
    const auto high = in.read<int64_t>();
    usage.cost = static_cast<PicoAmount>(high) * (PicoAmount{1} << 64) + low;
    usage.finished_unix_ms = in.read<int64_t>();
    usage.restore_ms = in.read<uint32_t>();
    return usage;
}

Result<void> check_body(const LedgerRecord& record) {
    const auto* facts = std::get_if<RequestFacts>(&record.body);
    auto checked =
        facts != nullptr ? check_facts(*facts) : check_final(std::get<UsageFinal>(record.body));
    if (!checked) {
        return Error{ErrorCode::kCorrupt, checked.error().message};
    }
    return {};
}

}  // namespace

std::vector<std::byte> encode_record(const LedgerRecord& record) {
    ByteWriter out;
    const auto* facts = std::get_if<RequestFacts>(&record.body);
    out.write(kRecordVersion);
    out.write(facts != nullptr ? Kind::kBegin : Kind::kFinal);
    out.write(record.sequence);
    out.write_span(record.previous);
    if (facts != nullptr) {
        write_facts(out, *facts);
    } else {
        write_final(out, std::get<UsageFinal>(record.body));
    }
    return out.take();
}

Result<LedgerRecord> decode_record(std::span<const std::byte> bytes) {
    ByteReader in(bytes);
    const auto version = in.read<uint8_t>();
    if (!in.failed() && version != kRecordVersion) {
        return Error{ErrorCode::kUnsupported,
                     fmt::format("ledger record: version {}, this program reads {}", version,
                                 kRecordVersion)};
    }
    LedgerRecord record;
    const auto kind = in.read<Kind>();
    record.sequence = in.read<uint64_t>();
    const auto previous = in.read_span(record.previous.size());
    std::copy(previous.begin(), previous.end(), record.previous.begin());
    bool canonical = kind == Kind::kBegin || kind == Kind::kFinal;
    if (canonical && kind == Kind::kBegin) {
        record.body = read_facts(in, canonical);
    } else if (canonical) {
        record.body = read_final(in, canonical);
    }
    if (auto finished = in.finish("ledger record"); canonical && !finished) {
        return finished.error();
    }
    if (!canonical) {
        return Error{ErrorCode::kCorrupt, "ledger record: a field is out of its range"};
    }
    if (auto body = check_body(record); !body) {
        return body.error().with_context("ledger record");
    }
    return record;
}

}  // namespace rekindle::billing
