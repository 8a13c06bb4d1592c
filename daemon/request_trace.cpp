#include "daemon/request_trace.h"

#include "base/decimal.h"

#include <string_view>
#include <utility>

namespace rekindle::daemon {
namespace {

class Phases {
public:
    explicit Phases(const RequestTrace& trace) : origin_(trace.accepted_at) {}

    // A stretch from one moment to another; left out unless both are known.
    void add(std::string_view name, std::optional<Nanoseconds> from,
             std::optional<Nanoseconds> to) {
        if (from && to) {
            list_.push_back(json::object{{"phase", name},
                                         {"start_ms", trace_ms(*from - origin_)},
                                         {"end_ms", trace_ms(*to - origin_)}});
        }
    }

    json::array take() { return std::move(list_); }

private:
    const Nanoseconds origin_;
    json::array list_;
};

json::array phases_of(const RequestTrace& trace) {
    Phases phases(trace);
    phases.add("gate 1", trace.accepted_at, trace.admitted_at);
    phases.add("worker", trace.admitted_at, trace.worker_at);
    if (trace.cold) {
        phases.add("assign", trace.worker_at, trace.assigned_at);
        phases.add("restore", trace.worker_at, trace.restored_at);
    }
    if (trace.cold_start && trace.cold_start->check()) {
        phases.add("self-check", trace.cold_start->check()->begun,
                   trace.cold_start->check()->ended);
    }
    phases.add("tokenize", trace.worker_at, trace.tokenized_at);
    phases.add("gate 2", trace.tokenized_at, trace.go_at);
    phases.add("prefill", trace.go_at, trace.first_token_at);
    phases.add("decode", trace.first_token_at, trace.last_token_at);
    phases.add("ledger", trace.ended_at, trace.durable_at);
    return phases.take();
}

void add_bill(json::object& out, const billing::UsageFinal& usage) {
    out["outcome"] = billing::outcome_name(usage.outcome);
    out["prompt_tokens"] = usage.facts.prompt_tokens;
    out["cached_tokens"] = usage.facts.cached_tokens;
    out["completion_tokens"] = usage.completion_tokens;
    out["delivered_tokens"] = usage.delivered_tokens;
    out["forgiven_tokens"] = usage.forgiven_tokens;
    out["billed"] = json::object{{"prompt_tokens", usage.billed_prompt},
                                 {"cached_tokens", usage.billed_cached},
                                 {"completion_tokens", usage.billed_completion}};
    out["cost"] = format_amount(usage.cost);
    out["currency"] = usage.facts.currency;
}

std::string_view state_of(const RequestTrace& trace) {
    if (trace.bill) {
        return "settled";
    }
    if (trace.ended_at) {
        return trace.go_at ? "ended" : "refused";
    }
    return trace.first_token_at ? "answering" : "waiting";
}

}  // namespace

std::shared_ptr<RequestTrace> TraceRing::add(RequestTrace trace) {
    if (order_.size() >= kTracesMax) {
        by_id_.erase(order_.front());
        order_.pop_front();
    }
    const billing::RequestId id = trace.id;
    auto kept = std::make_shared<RequestTrace>(std::move(trace));
    if (by_id_.insert_or_assign(id, kept).second) {
        order_.push_back(id);
    }
    return kept;
}

std::shared_ptr<RequestTrace> TraceRing::find(const billing::RequestId& id) const {
    const auto found = by_id_.find(id);
    return found == by_id_.end() ? nullptr : found->second;
}

json::object trace_json(const RequestTrace& trace) {
    json::object out;
    out["id"] = trace.id.text();
    out["source"] = "memory";
    out["state"] = state_of(trace);
    out["model"] = trace.model;
    out["revision"] = trace.revision;
    out["project"] = trace.project;
    out["streamed"] = trace.streamed;
    out["started"] = trace.accepted_unix_ms;
    out["tier"] = trace.cold ? trace.tier : "worker";
    out["restore_bytes"] = trace.restore_bytes;
    out["weights_wait_ms"] = trace_ms(trace.weights_wait);
    out["tries"] = trace.tries;
    if (!trace.error.empty()) {
        out["error"] = trace.error;
    }
    out["prompt_tokens"] = trace.prompt_tokens;
    out["cached_tokens"] = trace.cached_tokens;
    out["completion_tokens"] = trace.completion_tokens;
    if (trace.bill) {
        add_bill(out, *trace.bill);
    }
    out["phases"] = phases_of(trace);
    if (trace.cold_start) {
        out["layers"] = trace.cold_start->layers(trace.accepted_at);
    }
    return out;
}

json::object trace_json(const billing::UsageFinal& usage) {
    json::object out;
    out["id"] = usage.facts.id.text();
    out["source"] = "ledger";
    out["state"] = "settled";
    out["model"] = usage.facts.model;
    out["revision"] = usage.facts.revision;
    out["project"] = usage.facts.project;
    out["streamed"] = usage.facts.streamed;
    out["started"] = usage.facts.started_unix_ms;
    out["finished"] = usage.finished_unix_ms;
    out["restore_ms"] = usage.restore_ms;
    add_bill(out, usage);
    return out;
}

}  // namespace rekindle::daemon
